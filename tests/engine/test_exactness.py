"""Label distributions on the real engine equal those of plain transformers, in float32.

The reference takes nothing from the service: it renders the prompt as text, tokenizes the whole
text at once, and runs transformers once over each full answer sentence. Both ways of scoring are
computed from that one run.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from imhi.tasks import QUESTIONS, Question
from imhi.wording import render_query
from service.analysis.analyzer import Analyzer
from service.analysis.calibration import Calibration
from service.analysis.types import Analysis, Explain, Options, Scoring
from service.local import open_analyzer
from tests.models import lora_adapter, merge_adapter, tiny_llama
from tests.tokenizers import WHOLE_ANSWERS, sentencepiece_tokenizer, word_tokenizer

pytestmark = [pytest.mark.engine, pytest.mark.slow]

POSTS = (
    "I have three exams this week and cannot keep my eyes open, yet at night I lie awake.",
    "Moved here in May. I still eat lunch alone, and on Sundays nobody writes. It is quiet.",
    "We won the match! My brother came to see it, and after that we cooked for everybody.",
)
TOLERANCE = 1e-3
"""Largest total variation distance allowed."""

Distributions = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Served:
    """A model on a running engine, how its prompts end, and what transformers says of posts."""

    analyzer: Analyzer
    directory: Path
    chat: bool
    runner: asyncio.Runner
    adapter: Path | None = None
    references: dict[tuple[str, bool], Mapping[Scoring, Distributions]] = field(
        default_factory=dict
    )

    def analyze(self, post: str, options: Options) -> Analysis:
        return self.runner.run(
            self.analyzer.analyze(post, tuple(QUESTIONS.values()), options, f"test-{id(options)}")
        )


def served(directory: Path, *, chat: bool, adapter: Path | None = None) -> Iterator[Served]:
    with asyncio.Runner() as runner:
        context = open_analyzer(
            str(directory),
            ["--dtype", "float32", "--max-model-len", "1024"],
            adapters={"adapted": adapter} if adapter else None,
        )
        analyzer = runner.run(context.__aenter__())
        try:
            yield Served(analyzer, directory, chat, runner, adapter)
        finally:
            runner.run(context.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def embedded(embedded_model: Path) -> Iterator[Served]:
    yield from served(embedded_model, chat=False)


@pytest.fixture(scope="module")
def llama2_like(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("llama2")
    (folder / "tokenizer").mkdir()
    tokenizer = sentencepiece_tokenizer(folder / "tokenizer")
    model = tiny_llama(folder / "mentallama-tiny", tokenizer)
    yield from served(model, chat=False, adapter=lora_adapter(folder / "adapter", model))


@pytest.fixture(scope="module")
def whole_answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("words")
    tokenizer = word_tokenizer(WHOLE_ANSWERS)
    yield from served(tiny_llama(folder / "words", tokenizer), chat=True)


def reference(served: Served, post: str, *, adapted: bool) -> Mapping[Scoring, Distributions]:
    """Each question's distribution, from the log-probability of every token of every answer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(served.directory)
    model = AutoModelForCausalLM.from_pretrained(served.directory, dtype=torch.float32).eval()
    if adapted:
        merge_adapter(model, served.adapter)
    result: dict[Scoring, dict[str, Mapping[str, float]]] = {scoring: {} for scoring in Scoring}
    for question in QUESTIONS.values():
        prompt = prompt_text(tokenizer, post, question, chat=served.chat)
        separator = "" if served.chat else " "
        sentences = {
            label.id: encode(tokenizer, prompt + separator + label.answer, chat=served.chat)
            for label in question.labels
        }
        start = len(encode(tokenizer, prompt, chat=served.chat))
        scores: dict[Scoring, dict[str, float]] = {scoring: {} for scoring in Scoring}
        for label, ids in sentences.items():
            with torch.no_grad():
                # Logits from the prompt's last token on: nothing is read of those before it.
                logits = model(torch.tensor([ids]), logits_to_keep=len(ids) - start + 1).logits[0]
            after = logits.log_softmax(-1)
            whole = branches = 0.0
            for position in range(start, len(ids)):
                row = after[position - start]
                whole += row[ids[position]].item()
                # Relative to what the answers allow here, given what was said so far.
                allowed = {
                    other[position]
                    for other in sentences.values()
                    if len(other) > position and other[:position] == ids[:position]
                }
                branches += (row[ids[position]] - row[sorted(allowed)].logsumexp(0)).item()
            scores[Scoring.SENTENCES][label] = whole
            scores[Scoring.BRANCHES][label] = branches
        for scoring, found in scores.items():
            result[scoring][question.id] = normalised(found)
    return result


def normalised(scores: Mapping[str, float]) -> Mapping[str, float]:
    top = max(scores.values())
    total = sum(math.exp(score - top) for score in scores.values())
    return {label: math.exp(score - top) / total for label, score in scores.items()}


def prompt_text(tokenizer: Any, post: str, question: Question, *, chat: bool) -> str:
    query = render_query(post, question)
    if not chat:
        return query
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": query}], tokenize=False, add_generation_prompt=True
    )


def encode(tokenizer: Any, text: str, *, chat: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=not chat)["input_ids"])


def apart(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Total variation distance."""
    return sum(abs(one[label] - other[label]) for label in one) / 2


def distance(served: Served, scoring: Scoring, *, adapted: bool = False) -> float:
    """Largest total variation distance over all questions and posts, as read and as served."""
    options = Options(
        explain=Explain.NEVER, scoring=scoring, adapter="adapted" if adapted else None
    )
    manifest = served.analyzer.manifest
    # Calibration is fitted on branches and applied to them alone.
    calibration = manifest.to_calibration() if scoring is Scoring.BRANCHES else Calibration()
    worst = 0.0
    for post in POSTS:
        if (post, adapted) not in served.references:
            served.references[post, adapted] = reference(served, post, adapted=adapted)
        expected = served.references[post, adapted][scoring]
        for answer in served.analyze(post, options).answers:
            found = answer.distribution.probabilities
            assert sum(found.values()) == pytest.approx(1, abs=1e-9)
            wanted = expected[answer.question.id]
            read = answer.distribution.log_probabilities
            raw = {label: math.exp(score) for label, score in read.items()}
            served_as = calibration.apply(
                answer.question, {label: math.log(share) for label, share in wanted.items()}
            )
            worst = max(worst, apart(raw, wanted), apart(found, served_as))
    return worst


@pytest.mark.parametrize("scoring", list(Scoring))
@pytest.mark.parametrize("name", ["embedded", "llama2_like", "whole_answers"])
def test_every_distribution_equals_plain_transformers(
    name: str, scoring: Scoring, request: pytest.FixtureRequest
) -> None:
    assert distance(request.getfixturevalue(name), scoring) < TOLERANCE


def test_an_adapter_by_name_equals_the_merged_weights(llama2_like: Served) -> None:
    assert distance(llama2_like, Scoring.BRANCHES, adapted=True) < TOLERANCE


def test_the_adapter_changes_the_distributions(llama2_like: Served) -> None:
    plain, adapted = (
        llama2_like.analyze(POSTS[0], Options(explain=Explain.NEVER, adapter=adapter))
        for adapter in (None, "adapted")
    )
    assert any(
        abs(one.decision.probability - two.decision.probability) > 10 * TOLERANCE
        for one, two in zip(plain.answers, adapted.answers, strict=True)
    )


def test_an_explanation_is_the_greedy_continuation_of_the_decided_answer(
    embedded: Served,
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded.directory)
    model = AutoModelForCausalLM.from_pretrained(embedded.directory, dtype=torch.float32)
    question = QUESTIONS["stress_cause"]
    analysis = embedded.analyze(POSTS[0], Options(explanation_tokens=12, consistency=False))
    answer = next(one for one in analysis.answers if one.question is question)
    text = prompt_text(tokenizer, POSTS[0], question, chat=False)
    text += f" {question.label(answer.decision.label).answer} Reasoning:"
    ids = torch.tensor([encode(tokenizer, text, chat=False)])
    output = model.generate(ids, max_new_tokens=12, do_sample=False, attention_mask=ids * 0 + 1)
    expected = tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
    assert answer.explanation.text == expected.strip()
