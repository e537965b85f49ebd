"""`POST /analyze`: a request's body in, its answers out, at once or as a stream.

The route reads the body (`body`), resolves it (`work.plan`), runs it (`work`) for as long as the
client stays (`disconnect`), and renders what came out (`schemas`, `events`).
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from fastapi import APIRouter, Request, Response

from imhi.tasks import QUESTIONS
from service.analysis.types import Analysis, ExplanationDelta, Labelled
from service.api.body import read_body
from service.api.events import (
    KEEP_ALIVE,
    ErrorEvent,
    EventStream,
    ExplanationEvent,
    LabelEvent,
    encode,
)
from service.api.route import ServiceRoute
from service.api.schemas import AnalyzeRequest, AnalyzeResponse, Answer, Error
from service.api.state import ServiceState, ready_state
from service.api.work import Outcome, TextEvent, Work, analyze_all, plan, stream_all
from service.errors import ServiceError
from service.gate.caller import caller_of
from service.gate.disconnect import ClientGoneError, client_gone, unless_gone
from service.gate.record import Amounts, amounts_of
from service.gate.shape import request_id_of
from service.metrics import REJECTIONS

router = APIRouter(route_class=ServiceRoute)

_KNOWN = frozenset(
    {
        *AnalyzeRequest.model_fields,
        *QUESTIONS,
        *(label.id for question in QUESTIONS.values() for label in question.labels),
    }
)


@router.post("/analyze", response_model=None)
async def analyze(request: Request) -> Response:
    """Answer the questions of the tasks on one text or several."""
    state = ready_state(request.app)
    body = await read_body(request, AnalyzeRequest, _KNOWN)
    work = plan(
        body,
        (state.analyzer.model_name, *state.analyzer.adapters),
        state.settings,
        analysis_id=f"analysis-{uuid.uuid4().hex}",
        request_id=request_id_of(request.scope),
        manifest=state.analyzer.manifest,
        cache_salt=caller_of(request.scope).cache_salt,
    )
    amounts = amounts_of(request.scope)
    amounts.texts, amounts.questions = len(work.texts), len(work.questions)
    amounts.characters = sum(map(len, work.texts))
    try:
        if body.stream:
            return await _stream(request, state, work, amounts)
        outcomes = await unless_gone(analyze_all(work, state.analyzer), request.receive)
    except ClientGoneError:
        return client_gone(request)
    return Response(
        _response(state, work, outcomes, amounts).model_dump_json(),
        media_type="application/json",
        headers={"cache-control": "no-store", "server-timing": server_timing(outcomes)},
    )


async def _stream(request: Request, state: ServiceState, work: Work, amounts: Amounts) -> Response:
    """The stream, begun only when there is something: what fails before gets a real status."""
    chunks = _chunks(state, work, amounts)
    first = await unless_gone(_first(chunks), request.receive)
    return EventStream(first, chunks)


async def _first(chunks: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(chunks)


async def _chunks(state: ServiceState, work: Work, amounts: Amounts) -> AsyncGenerator[bytes, None]:
    """The stream as it goes over the wire.

    Raises:
        ServiceError: only before anything was yielded; later it is an event.
    """
    begun = False
    try:
        async with aclosing(
            stream_all(work, state.analyzer, state.settings.keep_alive_seconds)
        ) as events:
            async for event in events:
                if event is not None:
                    begun = True
                    yield _encoded(event, state, work, amounts)
                elif begun:
                    yield KEEP_ALIVE
    except ServiceError as error:
        if not begun:
            raise
        REJECTIONS.labels(error.code).inc()
        yield encode("error", ErrorEvent(error=Error.of(error, work.request_id)))


def _encoded(
    event: TextEvent | list[Outcome], state: ServiceState, work: Work, amounts: Amounts
) -> bytes:
    if isinstance(event, list):
        return encode("result", _response(state, work, event, amounts))
    match event.event:
        case Labelled(answer):
            return encode("label", LabelEvent(index=event.index, answer=Answer.of(answer)))
        case ExplanationDelta(question, text):
            delta = ExplanationEvent(
                index=event.index, task=question.task, question=question.id, delta=text
            )
            return encode("explanation", delta)
        case other:
            raise TypeError(f"no event of a stream: {type(other).__name__}")


def _response(
    state: ServiceState, work: Work, outcomes: Sequence[Outcome], amounts: Amounts
) -> AnalyzeResponse:
    for outcome in outcomes:
        if isinstance(outcome, ServiceError):
            REJECTIONS.labels(outcome.code).inc()
    response = AnalyzeResponse.of(
        outcomes,
        analysis_id=work.analysis_id,
        model=work.options.adapter or state.analyzer.model_name,
        notice=state.settings.notice,
        urgent_resources=state.settings.urgent_resources,
        request_id=work.request_id,
    )
    used = response.usage
    amounts.used(used.prompt_tokens, used.cached_tokens, used.completion_tokens)
    return response


def server_timing(outcomes: Sequence[Outcome]) -> str:
    """A `Server-Timing` header: milliseconds by phase, of several texts the largest."""
    timings = [outcome.timings for outcome in outcomes if isinstance(outcome, Analysis)]
    phases = ("tokenize", "queue", "label_read", "explanation", "total")
    longest = {phase: max((getattr(t, phase) for t in timings), default=0.0) for phase in phases}
    return ", ".join(f"{phase};dur={seconds * 1000:.1f}" for phase, seconds in longest.items())
