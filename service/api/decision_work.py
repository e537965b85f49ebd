"""From a request of `/v1/decisions` to what the Analyzer is asked, and from its answers back.

A question that is one of the benchmark's, by its text and its answers, is asked as that question:
the same reads as by `/analyze`, with the calibration of the model's manifest. Every other one is
the caller's own (`service.analysis.own`) and is left as the model read it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from imhi.tasks import Label
from imhi.tasks import Question as Asked
from imhi.wording import find_question
from service.analysis import types
from service.analysis.interface import Analyzes
from service.analysis.own import NO, OWN_TASK, YES, Choice, answer_of, own_choice, own_predicate
from service.analysis.types import Analysis, Explain, Options
from service.api.decision_forms import (
    Answer,
    ChoiceAnswer,
    ChoiceProbability,
    ChoiceQuestion,
    DecisionRequest,
    DecisionResponse,
    DecisionUsage,
    InputTokensDetails,
    OutputTokensDetails,
    PredicateAnswer,
    PredicateQuestion,
    Question,
    RefusalAnswer,
    ScoreAnswer,
    ScoreProbability,
    ScoreQuestion,
    text_of,
)
from service.api.work import adapter_of, note_analysis
from service.errors import InvalidRequestError, ServiceError, TextTooLongError
from service.settings import Settings
from service.spans import span


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question of the request, resolved.

    Attributes:
        form: as it was sent.
        asked: what the Analyzer is asked for it.
        labels: ids of the labels that stand for its answers, in the request's order; yes, then no,
            for a predicate.
    """

    form: Question
    asked: Asked
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decisions:
    """One request, resolved.

    Attributes:
        text: the input.
        wanted: its questions, in order; one of the benchmark may stand there more than once.
        options: how they are read.
    """

    text: str
    wanted: tuple[Wanted, ...]
    options: Options


def plan_decisions(
    body: DecisionRequest,
    served: Sequence[str],
    settings: Settings,
    *,
    cache_salt: str | None = None,
) -> Decisions:
    """Resolve a request against the benchmark, the served models and the deployment's bounds.

    Args:
        body: the request.
        served: the loaded model's name, then its adapters'.
        settings: the deployment's.
        cache_salt: keeps the caller's prefix cache apart; None shares one.

    Raises:
        UnknownNameError: the model is not served.
        InvalidRequestError: a question has nothing in it, answers that are alike, or there are too
            many or too long ones.
        TextTooLongError: the input is beyond the deployment's bound.
    """
    adapter = adapter_of(body.model, served)
    text = (
        body.input
        if isinstance(body.input, str)
        else "\n\n".join(text_of(message.content) for message in body.input)
    )
    if len(text) > settings.max_characters:
        raise TextTooLongError(
            f"The input has {len(text)} characters; at most {settings.max_characters} are read. "
            "Shorten it.",
            param="input",
        )
    wanted = tuple(_wanted(number, form) for number, form in enumerate(body.questions))
    choices = sum(len(one.labels) for one in wanted)
    if choices > settings.max_choices:
        raise InvalidRequestError(
            f"The questions have {choices} answers to choose from together; send at most "
            f"{settings.max_choices} a request.",
            param="questions",
        )
    length = sum(len(one.asked.text) for one in wanted)
    if length > settings.max_characters:
        raise InvalidRequestError(
            f"The questions have {length} characters together; send at most "
            f"{settings.max_characters} a request.",
            param="questions",
        )
    options = Options(explain=Explain.NEVER, adapter=adapter, cache_salt=cache_salt)
    return Decisions(text, wanted, options)


async def decide_all(work: Decisions, analyzer: Analyzes, request_id: str) -> Analysis:
    """Read every question once; cancelling this frees the engine.

    Raises:
        ServiceError: as `Analyzes.analyze`; it names the fields of this request.
    """
    questions = tuple(dict.fromkeys(one.asked for one in work.wanted))
    try:
        with span("analysis") as traced:
            analysis = await analyzer.analyze(work.text, questions, work.options, request_id)
            note_analysis(traced, analysis)
            return analysis
    except TextTooLongError:
        raise TextTooLongError(
            "The input and the longest question do not fit the model's context. Shorten them.",
            param="input",
        ) from None
    except ServiceError as error:
        error.param = _param(error.param)
        raise


def _param(param: str | None) -> str | None:
    """A field of this request in place of the Analyzer's name for it."""
    if param is not None and param.startswith(f"{OWN_TASK}."):
        return param.replace(OWN_TASK, "questions", 1)
    return "input" if param == "text" else param


def respond(work: Decisions, analysis: Analysis, model: str) -> DecisionResponse:
    """The response, answers in the order of the request's questions."""
    found = {answer.question: answer for answer in analysis.answers}
    usage = analysis.usage
    return DecisionResponse(
        model=model,
        answers=[_answer(one, found[one.asked]) for one in work.wanted],
        usage=DecisionUsage(
            input_tokens=usage.prompt_tokens,
            input_tokens_details=InputTokensDetails(cached_tokens=usage.cached_tokens),
            output_tokens_details=OutputTokensDetails(),
            total_tokens=usage.prompt_tokens,
        ),
    )


def _wanted(number: int, form: Question) -> Wanted:
    instructions = text_of(form.instructions)
    if not instructions.strip():
        raise InvalidRequestError(
            "The question's `instructions` are empty. Say what is asked.",
            param=f"questions.{number}.instructions",
        )
    known = find_question(instructions)
    match form:
        case PredicateQuestion():
            if known is not None and {label.id for label in known.labels} == {YES, NO}:
                return Wanted(form, known, (YES, NO))
            return Wanted(form, own_predicate(number, instructions), (YES, NO))
        case ChoiceQuestion():
            if known is not None and (labels := _labels(known, form)) is not None:
                return Wanted(form, known, labels)
            return _own(number, form, instructions, _choices(form), "choices")
        case ScoreQuestion():
            levels = [Choice(level.label, level.description) for level in form.levels]
            return _own(number, form, instructions, levels, "levels")
        case _:
            assert_never(form)


def _labels(question: Asked, form: ChoiceQuestion) -> tuple[str, ...] | None:
    """The benchmark's labels that the choices are, in their order; None where they are not all."""
    labels = []
    for choice in form.choices:
        value = (
            choice.value if isinstance(choice.value, str) else {True: YES, False: NO}[choice.value]
        )
        label = next((one for one in question.labels if value in _names(one)), None)
        if label is None or choice.description not in ("", label.name, label.answer):
            return None
        labels.append(label.id)
    every = {label.id for label in question.labels}
    return tuple(labels) if set(labels) == every and len(labels) == len(every) else None


def _names(label: Label) -> tuple[str, ...]:
    return label.id, label.name, label.answer


def _choices(form: ChoiceQuestion) -> list[Choice]:
    """The values in words. Where one is a boolean, strings are quoted: `true` is not `"true"`."""
    values = [choice.value for choice in form.choices]
    typed = any(isinstance(value, bool) for value in values)
    return [
        Choice(
            json.dumps(choice.value, ensure_ascii=False) if typed else str(choice.value),
            choice.description,
        )
        for choice in form.choices
    ]


def _own(
    number: int, form: Question, instructions: str, choices: Sequence[Choice], field: str
) -> Wanted:
    seen: set[str] = set()
    for place, choice in enumerate(choices):
        param = f"questions.{number}.{field}.{place}"
        if not choice.text.strip():
            raise InvalidRequestError("An answer to choose from is empty. Word it.", param=param)
        if answer_of(choice) in seen:
            raise InvalidRequestError(
                "An answer to choose from reads like one before it. Word them differently.",
                param=param,
            )
        seen.add(answer_of(choice))
    asked = own_choice(number, instructions, choices)
    return Wanted(form, asked, tuple(label.id for label in asked.labels))


def _answer(wanted: Wanted, answer: types.Answer) -> Answer:
    form, decision = wanted.form, answer.decision
    if decision.label is None:
        return RefusalAnswer(name=form.name)
    by_label: Mapping[str, float] = answer.distribution.probabilities
    probabilities = [by_label[label] for label in wanted.labels]
    mass = answer.distribution.label_mass
    match form:
        case PredicateQuestion():
            return PredicateAnswer(name=form.name, probability=by_label[YES])
        case ChoiceQuestion():
            chosen = wanted.labels.index(decision.label)
            return ChoiceAnswer(
                name=form.name,
                choice=form.choices[chosen].value,
                probabilities=[
                    ChoiceProbability(value=choice.value, probability=probability)
                    for choice, probability in zip(form.choices, probabilities, strict=True)
                ],
                confidence=probabilities[chosen] * mass,
            )
        case ScoreQuestion():
            return ScoreAnswer(
                name=form.name,
                score=sum(place * probability for place, probability in enumerate(probabilities)),
                probabilities=[
                    ScoreProbability(value=place, label=level.label, probability=probability)
                    for place, (level, probability) in enumerate(
                        zip(form.levels, probabilities, strict=True)
                    )
                ],
                confidence=max(probabilities) * mass,
            )
        case _:
            assert_never(form)
