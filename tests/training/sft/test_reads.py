"""Label reads in this process, against plain forward passes of one prompt at a time."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from imhi.tasks import QUESTIONS, Question
from service.analysis.labels import LabelRead, LabelTrie
from service.analysis.manifest import PromptStyle
from tests.lazy import torch
from tests.training.sft.tiny import POST, base, encoder, load, tokenizer
from training.sft.reads import LabelReads

POSTS = (POST, "Quiet evening, and nobody wrote. " * 6)
ASKED = [(post, question) for post in POSTS for question in QUESTIONS.values()]
STYLES = (PromptStyle.BARE, PromptStyle.CHAT)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(base(tmp_path_factory.mktemp("reads") / "base"))


def read(model: Any, asked: list[tuple[str, Question]], **options: Any) -> list[LabelRead]:
    style = options.pop("style", PromptStyle.BARE)
    found = dict(LabelReads(model, tokenizer(), style, **options).read(asked))
    assert sorted(found) == list(range(len(asked)))
    return [found[index] for index in range(len(asked))]


def plainly(
    model: Any, post: str, question: Question, style: PromptStyle
) -> tuple[dict[str, float], float]:
    """Probability of each label and label mass: every answer followed from a prompt of its own."""
    own = encoder(style)
    tail = own.tail(question)
    prompt = [*own.shared(post), *tail.tokens]
    answers = dict(tail.continuations)

    def probabilities(before: tuple[int, ...]) -> torch.Tensor:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *before]])).logits[0, -1]
        return torch.softmax(logits.double(), -1)

    relative = dict.fromkeys(answers, 1.0)
    absolute = dict.fromkeys(answers, 1.0)
    prefixes = {answer[:end] for answer in answers.values() for end in range(len(answer))}
    for prefix in prefixes:
        children = {
            answer[len(prefix)] for answer in answers.values() if answer[: len(prefix)] == prefix
        }
        if len(children) == 1:
            continue
        probability = probabilities(prefix)
        total = sum(float(probability[child]) for child in children)
        for label, answer in answers.items():
            if answer[: len(prefix)] == prefix:
                relative[label] *= float(probability[answer[len(prefix)]]) / total
                absolute[label] *= float(probability[answer[len(prefix)]])
    return relative, sum(absolute.values())


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_reads_are_those_of_plain_forward_passes(model, style) -> None:
    for (post, question), given in zip(ASKED, read(model, ASKED, style=style), strict=True):
        relative, mass = plainly(model, post, question, style)
        assert given.log_probabilities == pytest.approx(
            {label: math.log(value) for label, value in relative.items()}, abs=1e-4
        )
        assert given.label_mass == pytest.approx(mass, rel=1e-3)
    assert max(len(question.labels) for _, question in ASKED) > 2


@pytest.mark.parametrize("attention", ["eager", "grouped", "flash_attention_2"])
def test_reads_are_the_same_with_other_attention(model, attention, tmp_path) -> None:
    """Of flash attention, which needs a GPU, only the batch is here: one row and no mask."""
    other = model if attention == "flash_attention_2" else load_like(model, tmp_path, attention)
    for given, expected in zip(
        read(other, ASKED, attention=attention), read(model, ASKED), strict=True
    ):
        assert given.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-4)


def load_like(model: Any, folder: Path, attention: str) -> Any:
    model.save_pretrained(folder)
    return load(folder, attention)


def test_a_batch_changes_no_read(model) -> None:
    alone = read(model, ASKED, batch_tokens=1)
    for given, expected in zip(read(model, ASKED, batch_tokens=10_000), alone, strict=True):
        assert given.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-4)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_the_most_probable_first_branch_is_what_greedy_generation_takes(model, question) -> None:
    (given,) = read(model, [(POST, question)])
    own = encoder()
    tail = own.tail(question)
    trie = LabelTrie.build(question, tail.continuations)
    first = trie.branches[0]
    prompt = torch.tensor([[*own.shared(POST), *tail.tokens, *first.path]])
    generated = model.generate(
        prompt,
        max_new_tokens=1,
        do_sample=False,
        prefix_allowed_tokens_fn=lambda *_: list(first.children),
    )
    by_child: dict[int, float] = defaultdict(float)
    for label, value in given.log_probabilities.items():
        by_child[tail.continuations[label][len(first.path)]] += math.exp(value)
    assert int(generated[0, -1]) == max(by_child, key=by_child.__getitem__)


def test_the_middle_of_a_long_post_is_left_out(model) -> None:
    question = QUESTIONS["stress"]
    long = " ".join(f"day{number}" for number in range(400))
    changed = long.replace("day200", "night")
    cut, same, whole = read(
        model, [(long, question), (changed, question), (long[:40], question)], max_tokens=128
    )
    assert cut.log_probabilities == pytest.approx(same.log_probabilities)
    assert cut.log_probabilities != pytest.approx(whole.log_probabilities)


def test_the_model_is_left_in_the_mode_it_was_in(model) -> None:
    for training in (True, False):
        model.train(training)
        read(model, ASKED[:1])
        assert model.training is training
