"""From a valid request to outcomes: what is asked of the Analyzer, and what it made of each text.

`plan` resolves names and bounds; `analyze_all` runs every text at once and `stream_all` does the
same as events. An outcome is an `Analysis`, or the `ServiceError` that one text met: among several
texts it fails only itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from imhi.tasks import QUESTIONS, TASKS, Question
from service.analysis.decision import validate_policy
from service.analysis.interface import Analyzes
from service.analysis.manifest import Manifest
from service.analysis.questions import asked_questions
from service.analysis.types import Analysis, Completed, DecisionPolicy, Event, Options
from service.api.schemas import AnalyzeRequest
from service.errors import InvalidRequestError, ServiceError, TextTooLongError, UnknownNameError
from service.failures import log_failure
from service.metrics import observe_analysis
from service.settings import Settings
from service.spans import Span, span

Outcome = Analysis | ServiceError


@dataclass(frozen=True, slots=True)
class Work:
    """One request, resolved.

    Attributes:
        texts: the texts, in order.
        single: whether the request sent `text`: its error is then the response's.
        questions: what is asked on each.
        options: how.
        max_characters: most characters a text may have.
        analysis_id: unique; the engine's requests are named after it.
        request_id: the HTTP request's, for logs.
    """

    texts: tuple[str, ...]
    single: bool
    questions: tuple[Question, ...]
    options: Options
    max_characters: int
    analysis_id: str
    request_id: str | None


def plan(
    body: AnalyzeRequest,
    served: Sequence[str],
    settings: Settings,
    analysis_id: str,
    request_id: str | None,
    manifest: Manifest | None = None,
    cache_salt: str | None = None,
) -> Work:
    """Resolve a request against the tasks, the served models and the deployment's bounds.

    Args:
        body: the request.
        served: the loaded model's name, then its adapters'.
        settings: the deployment's.
        analysis_id: unique in this process.
        request_id: the HTTP request's, for logs.
        manifest: the loaded model's: a task is asked in the wordings that it was trained on.
        cache_salt: keeps the caller's prefix cache apart; None shares one.

    Raises:
        InvalidRequestError: fields that exclude each other, or a number beyond a bound.
        UnknownNameError: a task, question, label or model that does not exist.
    """
    texts, single = _texts(body, settings)
    options = replace(_options(body, served, settings), cache_salt=cache_salt)
    return Work(
        texts=texts,
        single=single,
        # What an adapter was trained on, nothing says.
        questions=_questions(body, manifest if options.adapter is None else None),
        options=options,
        max_characters=settings.max_characters,
        analysis_id=analysis_id,
        request_id=request_id,
    )


def _texts(body: AnalyzeRequest, settings: Settings) -> tuple[tuple[str, ...], bool]:
    if body.text is not None and body.texts is not None:
        raise InvalidRequestError("Send either `text` or `texts`, not both.", param="texts")
    if body.text is not None:
        return (body.text,), True
    if body.texts is None:
        raise InvalidRequestError("Send `text` or `texts`.", param="text")
    if len(body.texts) > settings.max_texts:
        raise InvalidRequestError(
            f"`texts` has {len(body.texts)} items; send at most {settings.max_texts} a request.",
            param="texts",
        )
    return tuple(body.texts), False


def _questions(body: AnalyzeRequest, manifest: Manifest | None) -> tuple[Question, ...]:
    if body.questions is not None:
        if body.tasks is not None:
            raise InvalidRequestError(
                "Send either `tasks` or `questions`, not both.", param="questions"
            )
        _check_known(body.questions, tuple(QUESTIONS), "questions")
        return tuple(QUESTIONS[name] for name in dict.fromkeys(body.questions))
    names = tuple(TASKS) if body.tasks is None else tuple(dict.fromkeys(body.tasks))
    _check_known(names, tuple(TASKS), "tasks")
    return tuple(question for name in names for question in asked_questions(manifest, TASKS[name]))


def _check_known(names: Sequence[str], known: Sequence[str], field: str) -> None:
    for index, name in enumerate(names):
        if name not in known:  # and it is not repeated: it may be anything
            raise UnknownNameError(
                f"`{field}.{index}` names nothing that exists. Choose from: {', '.join(known)}.",
                param=f"{field}.{index}",
            )


def _options(body: AnalyzeRequest, served: Sequence[str], settings: Settings) -> Options:
    tokens = body.explanation_tokens
    if tokens > settings.max_explanation_tokens:
        if "explanation_tokens" in body.model_fields_set:
            raise InvalidRequestError(
                f"`explanation_tokens` must be at most {settings.max_explanation_tokens}.",
                param="explanation_tokens",
            )
        tokens = settings.max_explanation_tokens
    adapter = None if body.model is None else adapter_of(body.model, served)
    return Options(
        explain=body.explain,
        explanation_tokens=tokens,
        consistency=body.consistency,
        scoring=body.scoring,
        truncation=body.truncation,
        policy=_policy(body),
        adapter=adapter,
    )


def adapter_of(model: str, served: Sequence[str]) -> str | None:
    """The adapter that a request's `model` names, or None where it is the loaded model.

    Args:
        model: as it was sent.
        served: the loaded model's name, then its adapters'.

    Raises:
        UnknownNameError: it is not served.
    """
    if model not in served:
        raise UnknownNameError(
            f"This model is not served. Served: {', '.join(served)}.", param="model"
        )
    return model if model != served[0] else None


def _policy(body: AnalyzeRequest) -> DecisionPolicy | None:
    policy = DecisionPolicy(
        thresholds=body.thresholds,
        abstention_band=body.abstention_band,
        min_probability=body.min_probability,
        min_label_mass=body.min_label_mass,
    )
    if policy == DecisionPolicy():
        return None
    validate_policy(policy)
    return policy


async def analyze_all(work: Work, analyzer: Analyzes) -> list[Analysis | ServiceError]:
    """Analyse every text at once; cancelling this frees the engine.

    Raises:
        ServiceError: as `check_outcomes`.
    """
    outcomes = await asyncio.gather(*(_analyze(work, i, analyzer) for i in range(len(work.texts))))
    check_outcomes(work, outcomes)
    return outcomes


async def _analyze(work: Work, index: int, analyzer: Analyzes) -> Outcome:
    try:
        with span("analysis", {"index": index}) as traced:
            _check_length(work, index)
            analysis = await analyzer.analyze(
                work.texts[index], work.questions, work.options, f"{work.analysis_id}-{index}"
            )
            note_analysis(traced, analysis)
    except Exception as error:  # noqa: BLE001 - one text's failure stays its own, and is logged
        return _failed(error, work)
    observe_analysis(analysis)
    return analysis


@dataclass(frozen=True, slots=True)
class TextEvent:
    """An event of the text at `index`."""

    index: int
    event: Event


async def stream_all(
    work: Work, analyzer: Analyzes, keep_alive: float
) -> AsyncGenerator[TextEvent | list[Outcome] | None, None]:
    """Analyse every text at once and pass on events as they come.

    Args:
        work: what to do.
        analyzer: who does it.
        keep_alive: seconds of silence after which None is yielded.

    Yields:
        Events of all texts, interleaved, without their `Completed`; None after a silence; at the
        end once the outcomes, in order. Closing the generator frees the engine.

    Raises:
        ServiceError: as `check_outcomes`.
    """
    # One place: a slow client holds the producers back and nothing piles up here.
    queue: asyncio.Queue[TextEvent | tuple[int, ServiceError]] = asyncio.Queue(maxsize=1)
    outcomes: dict[int, Outcome] = {}
    tasks = [
        asyncio.create_task(_produce(work, index, analyzer, queue))
        for index in range(len(work.texts))
    ]
    try:
        while len(outcomes) < len(work.texts):
            try:
                async with asyncio.timeout(keep_alive):
                    item = await queue.get()
            except TimeoutError:
                yield None
                continue
            if not isinstance(item, TextEvent):
                outcomes[item[0]] = item[1]
            elif isinstance(item.event, Completed):
                outcomes[item.index] = item.event.analysis
                observe_analysis(item.event.analysis)
            else:
                yield item
        ordered = [outcomes[index] for index in range(len(work.texts))]
        check_outcomes(work, ordered)
        yield ordered
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _produce(
    work: Work,
    index: int,
    analyzer: Analyzes,
    queue: asyncio.Queue[TextEvent | tuple[int, ServiceError]],
) -> None:
    """Put the events of one text into the queue, ending with its `Completed` or its error."""
    try:
        with span("analysis", {"index": index}) as traced:
            _check_length(work, index)
            events = analyzer.stream(
                work.texts[index], work.questions, work.options, f"{work.analysis_id}-{index}"
            )
            async with aclosing(events):
                async for event in events:
                    await queue.put(TextEvent(index, event))
                    if isinstance(event, Completed):
                        note_analysis(traced, event.analysis)
                        return
            raise RuntimeError("the analysis ended without its last event")
    except Exception as error:  # noqa: BLE001 - one text's failure stays its own, and is logged
        await queue.put((index, _failed(error, work)))


def note_analysis(traced: Span, analysis: Analysis) -> None:
    """Say on a text's span what it took."""
    used = analysis.usage
    traced.note(
        {
            "questions": len(analysis.answers),
            "prompt_tokens": used.prompt_tokens,
            "cached_tokens": used.cached_tokens,
            "completion_tokens": used.completion_tokens,
        }
    )


def _check_length(work: Work, index: int) -> None:
    length = len(work.texts[index])
    if length > work.max_characters:
        raise TextTooLongError(
            f"The text has {length} characters; at most {work.max_characters} are read, whatever "
            f"`truncation` says. Shorten it.",
            param="text" if work.single else f"texts.{index}",
        )


def _failed(error: Exception, work: Work) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    log_failure(error, work.request_id)
    return ServiceError("Something failed inside the service. Report it with the request id.")


def check_outcomes(work: Work, outcomes: Sequence[Outcome]) -> None:
    """Raise where the response has to be an error as a whole.

    Raises:
        ServiceError: a single `text` failed; or every one of `texts` did by the service's fault, so
            that a caller who looks at the status alone tries again.
    """
    errors = [outcome for outcome in outcomes if isinstance(outcome, ServiceError)]
    if errors and work.single:
        raise errors[0]
    if len(errors) == len(outcomes) and all(error.status >= 500 for error in errors):
        raise errors[0]
