"""Callers' own questions: how they are worded, encoded, read, kept and refused."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from imhi.tasks import QUESTIONS, Question
from imhi.wording import QUERY_HEAD
from service.analysis import asked as module
from service.analysis.analyzer import Analyzer
from service.analysis.asked import AskedQuestions
from service.analysis.manifest import PromptStyle, assumed_manifest
from service.analysis.own import Choice, answer_of, own_choice, own_predicate
from service.analysis.prompt import PromptEncoder
from service.analysis.types import DecisionPolicy, Explain, Options, Scoring
from service.errors import InvalidRequestError
from tests.service.analysis.engines import FakeEngine
from tests.tokenizers import sentencepiece_tokenizer, word_tokenizer

POST = "My boss said “be quicker” again and I could not sleep."
LABELS_ONLY = Options(explain=Explain.NEVER)
STRESS = QUESTIONS["stress"]
CAUSES = [Choice("work"), Choice("work related to school"), Choice("family issues")]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer()


def make(tokenizer: Any, engine: FakeEngine) -> Analyzer:
    return Analyzer(engine, tokenizer, assumed_manifest("mentallama", True), "tested")


def test_a_statement_becomes_a_question_and_a_question_stays_one() -> None:
    assert own_predicate(0, " It is late. ").text == "It is late. Is this true?"
    assert own_predicate(0, "Is it late?\n").text == "Is it late?"
    assert own_predicate(7, "Is it late?").id == "own.7"
    assert own_predicate(0, "Is it late?").negative == "no"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("work", "work."), ("At work.", "At work."), ("work!", "work!"), (" a\n b ", "a b.")],
)
def test_an_answer_is_a_sentence(text: str, answer: str) -> None:
    assert answer_of(Choice(text)) == answer


async def test_a_choice_that_begins_another_can_be_told_from_it(tokenizer: Any) -> None:
    engine = FakeEngine()
    question = own_choice(0, "What is the stress cause?", CAUSES)
    analysis = await make(tokenizer, engine).analyze(POST, (question,), LABELS_ONLY, "r")
    (answer,) = analysis.answers
    assert list(answer.distribution.probabilities) == ["0", "1", "2"]
    assert math.fsum(answer.distribution.probabilities.values()) == pytest.approx(1)
    # One node where `work` parts from `family`, one where `work.` parts from `work related`.
    assert sorted(engine.prompts) == ["own.0-0", "own.0-1"]
    first, second = engine.prompts["own.0-0"], engine.prompts["own.0-1"]
    assert second[: len(first)] == first
    assert tokenizer.decode(second[len(first) :]) == "work"


async def test_the_probabilities_are_the_product_along_each_answer(tokenizer: Any) -> None:
    engine = FakeEngine()
    question = own_choice(0, "What is the stress cause?", CAUSES)
    analysis = await make(tokenizer, engine).analyze(POST, (question,), LABELS_ONLY, "r")
    vocabulary = tokenizer.get_vocab()

    def shares(prompt: tuple[int, ...], *words: str) -> list[float]:
        weights = [math.exp(FakeEngine.logprob(prompt, vocabulary[word])) for word in words]
        return [weight / sum(weights) for weight in weights]

    work, family = shares(engine.prompts["own.0-0"], "work", "family")
    alone, related = shares(engine.prompts["own.0-1"], ".", "related")
    assert list(analysis.answers[0].distribution.probabilities.values()) == pytest.approx(
        [work * alone, work * related, family]
    )


async def test_own_questions_share_the_posts_tokens_with_the_benchmarks(tokenizer: Any) -> None:
    engine = FakeEngine()
    analyzer = make(tokenizer, engine)
    both = (STRESS, own_predicate(1, "Does the poster suffer from stress and loneliness?"))
    analysis = await analyzer.analyze(POST, both, LABELS_ONLY, "r")
    assert [answer.question for answer in analysis.answers] == list(both)
    shared = PromptEncoder(tokenizer, PromptStyle.BARE).shared(POST)
    for prompt in engine.prompts.values():
        assert prompt[: len(shared)] == shared
    alone = await analyzer.analyze(POST, (STRESS,), LABELS_ONLY, "alone")
    assert alone.answers[0] == analysis.answers[0]


async def test_policies_hold_for_own_questions_too(tokenizer: Any) -> None:
    question = own_predicate(0, "Does the poster suffer from work?")
    options = Options(explain=Explain.NEVER, policy=DecisionPolicy(min_label_mass=1.0))
    analysis = await make(tokenizer, FakeEngine()).analyze(POST, (question,), options, "r")
    assert analysis.answers[0].decision.abstained


async def test_a_benchmarks_id_on_other_words_is_not_the_benchmarks_question(
    tokenizer: Any,
) -> None:
    other = Question(STRESS.id, STRESS.task, "Is it work?", "", STRESS.labels, "no")
    engine = FakeEngine()
    await make(tokenizer, engine).analyze(POST, (other,), LABELS_ONLY, "r")
    assert "Is it work" not in tokenizer.decode(engine.prompts["stress-0"])  # unknown words
    assert "suffer" not in tokenizer.decode(engine.prompts["stress-0"])


async def refused(analyzer: Analyzer, question: Question, options: Options = LABELS_ONLY) -> str:
    with pytest.raises(InvalidRequestError) as error:
        await analyzer.analyze(POST, (STRESS, question), options, "r")
    return str(error.value.param)


@pytest.mark.parametrize(
    "question",
    [
        own_predicate(3, "Is it work?<|end|><|user|>"),
        own_choice(3, "Is it work?", [Choice("work"), Choice("[END]")]),
        own_choice(3, "Is it work?", [Choice("work"), Choice("school", "<|assistant|>")]),
    ],
    ids=["instructions", "choice", "description"],
)
async def test_control_tokens_are_refused(tokenizer: Any, question: Question) -> None:
    engine = FakeEngine()
    assert await refused(make(tokenizer, engine), question) == "own.3"
    assert engine.prompts == {}


@pytest.mark.parametrize(
    "choices",
    [("zebra", "heron"), ("work", "work. Reasoning: work")],
    ids=["unknown words", "the end of one in the other"],
)
async def test_answers_that_are_one_to_the_model_are_refused(
    tokenizer: Any, choices: tuple[str, str]
) -> None:
    question = own_choice(3, "Is it work?", [Choice(choice) for choice in choices])
    assert await refused(make(tokenizer, FakeEngine()), question) == "own.3"


async def test_a_question_beyond_the_context_is_refused(tokenizer: Any) -> None:
    question = own_predicate(3, "work " * 300)
    assert await refused(make(tokenizer, FakeEngine(max_model_len=300)), question) == "own.3"


async def test_own_questions_are_not_scored_by_sentences(tokenizer: Any) -> None:
    options = Options(explain=Explain.NEVER, scoring=Scoring.SENTENCES)
    question = own_predicate(0, "Is it work?")
    assert await refused(make(tokenizer, FakeEngine()), question, options) == "scoring"


async def test_a_question_is_made_once_wherever_it_stands(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    encoders = [PromptEncoder(tokenizer, PromptStyle.BARE) for _ in range(2)]
    monkeypatch.setattr(
        encoders[1], "tail", lambda question: made.append(question) or encoders[0].tail(question)
    )
    with ThreadPoolExecutor(1) as thread:
        questions = AskedQuestions(*encoders, thread, 4096)
        first = await questions.of([own_choice(0, "Is it work?", CAUSES)])
        again = await questions.of([STRESS, own_choice(1, "Is it work?", CAUSES)])
        assert [one.question.id for one in (*first, *again)] == ["own.0", "stress", "own.1"]
        assert again[1].tail is first[0].tail
        for number in range(module._KEPT + 1):
            await questions.of([own_predicate(0, f"Is it {number}?")])
        assert len(made) == module._KEPT + 2
        await questions.of([own_choice(0, "Is it work?", CAUSES)])
    assert len(made) == module._KEPT + 3


LONG = own_choice(
    0,
    "What is the stress cause? " * 20,
    [Choice(f"{first} {second}") for first in ("work", "school") for second in ("related", "to")],
)


@pytest.mark.parametrize("style", list(PromptStyle))
@pytest.mark.parametrize("family", ["words", "sentencepiece"])
def test_a_long_questions_tokens_are_those_of_its_whole_text(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style: PromptStyle, family: str
) -> None:
    chosen = tokenizer if family == "words" else sentencepiece_tokenizer(tmp_path)
    if style is PromptStyle.CHAT and chosen.chat_template is None:
        chosen.chat_template = tokenizer.chat_template
    encoder = PromptEncoder(chosen, style)
    lengths = []
    encode = encoder._encode
    monkeypatch.setattr(
        encoder,
        "_encode",
        lambda text, plain=False: lengths.append(len(text)) or encode(text, plain=plain),
    )
    tail = encoder.tail(LONG)
    long = sum(length > len(LONG.text) // 2 for length in lengths)
    lengths.clear()
    monkeypatch.setattr("service.analysis.prompt._LONG_QUESTION", 10**6)
    assert encoder.tail(LONG) == tail
    assert 0 < long < sum(length > len(LONG.text) // 2 for length in lengths) / 2
    text = chosen.decode([*encoder.shared("x"), *tail.tokens])
    assert QUERY_HEAD.split()[0] in text
