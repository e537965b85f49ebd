"""The Analyzer on a fake engine: fan-out, events, options, failures and cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from imhi.tasks import QUESTIONS, Question
from imhi.wording import render_query
from service.analysis.analyzer import Analyzer
from service.analysis.engine import RequestContext
from service.analysis.manifest import Manifest, assumed_manifest
from service.analysis.quotation import quote_grammar
from service.analysis.types import (
    Analysis,
    Completed,
    DecisionPolicy,
    Explain,
    ExplanationDelta,
    Labelled,
    Options,
    Response,
    Scoring,
    Truncation,
)
from service.errors import (
    EmptyTextError,
    EngineError,
    InvalidRequestError,
    ModelError,
    TextTooLongError,
    UnknownNameError,
)
from tests.service.analysis.engines import FakeEngine
from tests.tokenizers import blind_tokenizer, word_tokenizer

ALL = tuple(QUESTIONS.values())
STRESS = (QUESTIONS["stress"],)
POST = "My boss said “be quicker” again and I could not sleep."
LABELS_ONLY = Options(explain=Explain.NEVER)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer()


def make(tokenizer: Any, engine: FakeEngine, manifest: Manifest | None = None) -> Analyzer:
    return Analyzer(engine, tokenizer, manifest or assumed_manifest("mentallama", True), "tested")


async def analyze(
    analyzer: Analyzer, questions: Sequence[Question] = ALL, options: Options = LABELS_ONLY
) -> Analysis:
    return await analyzer.analyze(POST, questions, options, "request")


async def test_every_question_is_answered_in_the_order_asked(tokenizer: Any) -> None:
    analysis = await analyze(make(tokenizer, FakeEngine()), ALL[::-1])
    assert [answer.question for answer in analysis.answers] == list(ALL[::-1])
    for answer in analysis.answers:
        probabilities = answer.distribution.probabilities
        assert list(probabilities) == [label.id for label in answer.question.labels]
        assert sum(probabilities.values()) == pytest.approx(1)
        assert answer.decision.probability == max(probabilities.values())
        assert answer.explanation is None


async def test_all_questions_share_the_posts_tokens(tokenizer: Any) -> None:
    engine = FakeEngine()
    analyzer = make(tokenizer, engine)
    await analyze(analyzer)
    shared = tuple(tokenizer(render_query(POST, ALL[0]), add_special_tokens=False)["input_ids"])
    length = next(
        index
        for index, column in enumerate(zip(*engine.prompts.values(), strict=False))
        if len(set(column)) > 1
    )
    assert next(iter(engine.prompts.values()))[:length] == shared[:length]
    assert tokenizer.decode(shared[:length]).endswith("Question :")


async def test_labels_come_first_then_their_explanations_then_the_whole(tokenizer: Any) -> None:
    analyzer = make(tokenizer, FakeEngine(' They say "Be quicker" here.', delay=0.001))
    questions = ALL[:3]
    async with aclosing(analyzer.stream(POST, questions, Options(), "request")) as stream:
        events = [event async for event in stream]
    assert isinstance(events[-1], Completed)
    for answer in events[-1].analysis.answers:
        own = [event for event in events[:-1] if of(event) == answer.question.id]
        assert isinstance(own[0], Labelled)
        assert own[0].answer == dataclasses.replace(answer, explanation=None)
        assert all(isinstance(event, ExplanationDelta) for event in own[1:])
        text = "".join(event.text for event in own[1:])
        assert text == answer.explanation.text == 'They say "Be quicker" here.'
        assert answer.explanation.finish_reason == "stop"
        assert [(one.quote, one.start) for one in answer.explanation.evidence] == [
            ("be quicker", POST.index("be quicker"))
        ]
        assert 0 <= answer.explanation.consistency <= 1


def of(event: Any) -> str:
    return event.answer.question.id if isinstance(event, Labelled) else event.question.id


async def test_an_explanation_continues_the_decided_answer(tokenizer: Any) -> None:
    engine = FakeEngine()
    analysis = await analyze(make(tokenizer, engine), STRESS, Options())
    decided = STRESS[0].label(analysis.answers[0].decision.label)
    expected = tokenizer(
        f"{render_query(POST, STRESS[0])} {decided.answer} Reasoning:", add_special_tokens=False
    )["input_ids"]
    assert list(engine.prompts["stress-explanation"]) == expected


async def test_an_explanation_quotes_what_the_model_sees_of_the_post(tokenizer: Any) -> None:
    engine = FakeEngine(max_model_len=260)
    analyzer = make(tokenizer, engine)
    post = " ".join(f"{POST} Part {number}." for number in range(40))
    options = Options(truncation=Truncation.HEAD, explanation_tokens=32)
    analysis = await analyzer.analyze(post, STRESS, options, "request")
    (cut,) = analysis.cuts
    assert engine.grammars == {"stress-explanation": quote_grammar(post[: cut.start])}


async def test_consistency_is_a_read_on_the_explanation_alone(tokenizer: Any) -> None:
    engine = FakeEngine()
    analyzer = make(tokenizer, engine)
    analysis = await analyze(analyzer, STRESS, Options())
    answer = analysis.answers[0]
    alone = await analyzer.analyze(answer.explanation.text, STRESS, LABELS_ONLY, "alone")
    probabilities = alone.answers[0].distribution.probabilities
    assert answer.explanation.consistency == probabilities[answer.decision.label]
    without = await analyze(analyzer, STRESS, Options(consistency=False))
    assert without.answers[0].explanation.consistency is None


async def test_positive_explains_only_what_is_found(tokenizer: Any) -> None:
    analysis = await analyze(make(tokenizer, FakeEngine()), ALL, Options(explain=Explain.POSITIVE))
    explained = {bool(answer.explanation) for answer in analysis.answers}
    assert explained == {True, False}
    for answer in analysis.answers:
        found = answer.decision.label != answer.question.negative
        assert (answer.explanation is not None) == found


async def test_an_abstention_is_not_explained(tokenizer: Any) -> None:
    policy = DecisionPolicy(min_probability=1.0)
    analysis = await analyze(make(tokenizer, FakeEngine()), STRESS, Options(policy=policy))
    answer = analysis.answers[0]
    assert answer.decision.abstained
    assert answer.decision.label is None
    assert answer.explanation is None


async def test_the_token_limit_ends_an_explanation(tokenizer: Any) -> None:
    options = Options(explanation_tokens=2)
    analysis = await analyze(make(tokenizer, FakeEngine()), STRESS, options)
    explanation = analysis.answers[0].explanation
    assert (explanation.text, explanation.tokens) == ("Because the", 2)
    assert explanation.finish_reason == "length"
    assert analysis.usage.completion_tokens == 2


async def test_the_manifests_calibration_and_policy_are_applied(tokenizer: Any) -> None:
    plain = await analyze(make(tokenizer, FakeEngine()), STRESS)
    manifest = Manifest.model_validate(
        {
            **assumed_manifest("mentallama", True).model_dump(),
            "calibration": {"stress": {"temperature": 1.0, "bias": {"yes": 2.0}}},
            "policy": {"thresholds": {"stress": {"no": 0.0}}},
        }
    )
    calibrated = await analyze(make(tokenizer, FakeEngine(), manifest), STRESS)
    before = plain.answers[0].distribution.probabilities
    after = calibrated.answers[0].distribution.probabilities
    odds = (after["yes"] / after["no"]) / (before["yes"] / before["no"])
    assert odds == pytest.approx(7.389056)
    assert calibrated.answers[0].decision.label == "no"
    sentences = Options(explain=Explain.NEVER, scoring=Scoring.SENTENCES)
    assert (await analyze(make(tokenizer, FakeEngine(), manifest), STRESS, sentences)).answers[
        0
    ].distribution == (await analyze(make(tokenizer, FakeEngine()), STRESS, sentences)).answers[
        0
    ].distribution


async def test_the_read_is_kept_as_it_was_before_calibration(tokenizer: Any) -> None:
    plain = (await analyze(make(tokenizer, FakeEngine()))).answers
    manifest = Manifest.model_validate(
        {
            **assumed_manifest("mentallama", True).model_dump(),
            "calibration": {one.id: {"bias": {one.labels[0].id: 2.0}} for one in ALL},
        }
    )
    calibrated = (await analyze(make(tokenizer, FakeEngine(), manifest))).answers
    for before, after in zip(plain, calibrated, strict=True):
        read = before.distribution.log_probabilities
        exponents = {label: math.exp(value) for label, value in read.items()}
        assert exponents == pytest.approx(before.distribution.probabilities)
        assert after.distribution.log_probabilities == read
        assert after.distribution.probabilities != pytest.approx(exponents)


async def test_a_response_is_written_after_the_bare_question(tokenizer: Any) -> None:
    engine = FakeEngine(" Yes, it does. Reasoning: it says so. ")
    options = Options(explanation_tokens=5, adapter="tuned")
    response = await make(tokenizer, engine).respond(POST, STRESS[0], options, "request")
    assert response == Response("Yes, it does. Reasoning: it", "length", 5, ())
    query = tokenizer(render_query(POST, STRESS[0]), add_special_tokens=False)["input_ids"]
    assert engine.prompts == {"stress-response": tuple(query)}
    assert engine.contexts == {RequestContext("request", "tuned")}


async def test_a_response_leaves_room_for_itself(tokenizer: Any) -> None:
    text = "the poster " * 100
    engine = FakeEngine(max_model_len=160)
    analyzer = make(tokenizer, engine)
    # Without explanations nothing but one token is generated; a response is, whatever `explain` is.
    options = dataclasses.replace(LABELS_ONLY, explanation_tokens=40)
    with pytest.raises(TextTooLongError):
        await analyzer.respond(text, STRESS[0], options, "request")
    cutting = dataclasses.replace(options, truncation=Truncation.TAIL)
    response = await analyzer.respond(text, STRESS[0], cutting, "request")
    assert [cut.start for cut in response.cuts] == [0]
    assert len(engine.prompts["stress-response"]) + 40 <= 160


async def test_an_adapter_travels_with_every_request(tokenizer: Any) -> None:
    engine = FakeEngine()
    await analyze(make(tokenizer, engine), STRESS, Options(adapter="tuned"))
    assert {context.adapter for context in engine.contexts} == {"tuned"}
    with pytest.raises(UnknownNameError):
        await analyze(make(tokenizer, engine), STRESS, Options(adapter="other"))


@pytest.mark.parametrize("text", ["", " \n\t", "　"])
async def test_blank_texts_are_refused(tokenizer: Any, text: str) -> None:
    with pytest.raises(EmptyTextError):
        await make(tokenizer, FakeEngine()).analyze(text, ALL, LABELS_ONLY, "request")


async def test_long_texts_are_refused_or_cut_as_chosen(tokenizer: Any) -> None:
    analyzer = make(tokenizer, FakeEngine(max_model_len=160))
    text = "the poster " * 100
    options = Options(explanation_tokens=20)
    with pytest.raises(TextTooLongError):
        await analyzer.analyze(text, ALL, options, "request")
    for truncation in (Truncation.HEAD, Truncation.TAIL, Truncation.MIDDLE):
        cutting = dataclasses.replace(options, truncation=truncation)
        engine = FakeEngine(max_model_len=160)
        analysis = await make(tokenizer, engine).analyze(text, ALL, cutting, "request")
        (cut,) = analysis.cuts
        assert 0 <= cut.start < cut.end <= len(text)
        assert (cut.start > 0) == (truncation is not Truncation.TAIL)
        assert (cut.end < len(text)) == (truncation is not Truncation.HEAD)
        # As much is kept as fits.
        assert 150 <= max(map(len, engine.prompts.values())) + 20 <= 160


async def test_a_context_too_short_for_the_questions_stops_the_start(tokenizer: Any) -> None:
    with pytest.raises(ModelError, match="--max-model-len"):
        make(tokenizer, FakeEngine(max_model_len=20))


async def test_labels_that_cannot_be_told_apart_stop_the_start() -> None:
    with pytest.raises(ModelError, match="cannot be told apart"):
        make(blind_tokenizer(), FakeEngine())


@pytest.mark.parametrize("where", ["stress-0", "stress-explanation", "stress-consistency-0"])
async def test_a_failing_request_fails_the_analysis_and_stops_the_rest(
    tokenizer: Any, where: str
) -> None:
    engine = FakeEngine(delay=0.01, fails=lambda suffix: suffix == where)
    with pytest.raises(EngineError):
        await analyze(make(tokenizer, engine), ALL, Options())
    assert engine.running == 0


async def test_closing_the_stream_stops_the_engines_work(tokenizer: Any) -> None:
    engine = FakeEngine(delay=0.05)
    stream = make(tokenizer, engine).stream(POST, ALL, Options(), "request")
    await anext(stream)
    assert engine.running > 0
    await stream.aclose()
    assert engine.running == 0


async def test_cancelling_an_analysis_stops_the_engines_work(tokenizer: Any) -> None:
    engine = FakeEngine(delay=5)
    task = asyncio.create_task(analyze(make(tokenizer, engine)))
    await asyncio.sleep(0.05)
    assert engine.running > 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.running == 0


async def test_usage_and_timings_add_up(tokenizer: Any) -> None:
    engine = FakeEngine(delay=0.002)
    analysis = await analyze(make(tokenizer, engine), ALL, Options())
    assert analysis.usage.prompt_tokens == sum(map(len, engine.prompts.values()))
    assert analysis.usage.completion_tokens == 5 * len(ALL)
    timings = analysis.timings
    assert 0 < timings.tokenize < timings.first_label <= timings.total
    assert 0 < timings.label_read < timings.total
    reads = [tokens for name, tokens in engine.prompts.items() if "explanation" not in name]
    assert timings.queue == max(map(len, reads)) / 1000
    assert 0 < timings.explanation < timings.total


async def test_long_texts_do_not_hold_up_the_event_loop(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyzer = make(tokenizer, FakeEngine())
    shared, loops = analyzer._long_encoder.shared, []

    def watched(post: str) -> tuple[int, ...]:
        with contextlib.suppress(RuntimeError):
            loops.append(asyncio.get_running_loop())
        return shared(post)

    monkeypatch.setattr(analyzer._long_encoder, "shared", watched)
    monkeypatch.setattr(analyzer._encoder, "shared", None)
    options = Options(explain=Explain.NEVER, truncation=Truncation.MIDDLE)
    analyses = await asyncio.gather(
        *(
            analyzer.analyze("the poster " * 10_000, STRESS, options, f"{number}")
            for number in range(3)
        )
    )
    assert [len(analysis.cuts) for analysis in analyses] == [1, 1, 1]
    assert loops == []


async def test_half_a_surrogate_pair_is_refused_without_being_shown(tokenizer: Any) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        await make(tokenizer, FakeEngine()).analyze("secret\ud800", ALL, LABELS_ONLY, "request")
    assert "secret" not in raised.value.message
