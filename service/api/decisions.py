"""`POST /v1/decisions`: typed questions on an input, answered with probabilities.

The route of the OpenAI API, ours because vLLM's own (from 0.33 on) refuses Llama models. It reads
the body (`body`), resolves it and renders the answers (`decision_work`), and runs it for as long
as the client stays (`service.gate.disconnect`).
"""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Request, Response

from service.api.analyze import server_timing
from service.api.body import read_body
from service.api.decision_forms import FIELDS, TAGS, DecisionRequest
from service.api.decision_work import decide_all, plan_decisions, respond
from service.api.route import OpenAIRoute
from service.api.state import ready_state
from service.gate.caller import caller_of
from service.gate.disconnect import ClientGoneError, client_gone, unless_gone
from service.gate.record import amounts_of
from service.metrics import observe_analysis

router = APIRouter(route_class=OpenAIRoute)


@router.post("/v1/decisions", response_model=None)
async def decisions(request: Request) -> Response:
    """Answer the questions on the input."""
    state = ready_state(request.app)
    analyzer = state.analyzer
    body = await read_body(request, DecisionRequest, FIELDS, TAGS)
    work = plan_decisions(
        body,
        (analyzer.model_name, *analyzer.adapters),
        state.settings,
        cache_salt=caller_of(request.scope).cache_salt,
    )
    amounts = amounts_of(request.scope)
    amounts.texts, amounts.questions = 1, len(work.wanted)
    amounts.characters = len(work.text)
    # Not the caller's own id, which may come twice: the engine's requests are named after it.
    reads = decide_all(work, analyzer, f"decision-{uuid.uuid4().hex}")
    try:
        analysis = await unless_gone(reads, request.receive)
    except ClientGoneError:
        return client_gone(request)
    observe_analysis(analysis)
    used = analysis.usage
    amounts.used(used.prompt_tokens, used.cached_tokens, used.completion_tokens)
    return Response(
        respond(work, analysis, body.model).model_dump_json(),
        media_type="application/json",
        headers={"cache-control": "no-store", "server-timing": server_timing([analysis])},
    )
