"""`GET /livez`, `GET /readyz` and `GET /health`, for whoever restarts the process or sends it work.

Alive is a process whose engine goes on; ready is one that may be sent work, which it is not any
more from the moment it is asked to stop. `/health` is `/readyz` under the name that routers and
load balancers of vLLM ask for: vLLM's own answers 200 while it refuses everything. All say so in
JSON with a `status`, on 503 too: a probe's answer is no error of the caller.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from service.api.route import ServiceRoute
from service.api.state import current_phase, current_state
from service.failures import log_failure
from service.gate.shape import mark_final, request_id_of
from service.lifecycle import FAILED, Phase

router = APIRouter(route_class=ServiceRoute)


class Health(BaseModel):
    """How the service is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: str = Field(
        description=(
            "`starting`, `warming`, `ready`, `draining`, `stopped`; `dead` when the engine has "
            "died, `stalled` when it has work and does nothing."
        ),
        examples=["ready"],
    )


@router.get("/livez", response_model=None)
async def livez(request: Request) -> JSONResponse:
    """Answer 200 while the engine goes on, whatever the phase; 503 once it does not."""
    phase = await _phase(request)
    return _answer(request, phase, ok=phase not in FAILED)


@router.get("/health", response_model=None)
@router.get("/readyz", response_model=None)
async def readyz(request: Request) -> JSONResponse:
    """Answer 200 when the service may be sent work, else 503."""
    phase = await _phase(request)
    return _answer(request, phase, ok=phase is Phase.READY)


async def _phase(request: Request) -> Phase:
    """The lifecycle's phase, or that the engine has died since the watchdog last looked."""
    phase, state = current_phase(request.app), current_state(request.app)
    if state is None or phase in FAILED:
        return phase
    try:
        await state.check_engine()
    except Exception as error:  # noqa: BLE001 - any failure of the check is the answer
        log_failure(error, request_id_of(request.scope))
        return Phase.DEAD
    return phase


def _answer(request: Request, phase: Phase, *, ok: bool) -> JSONResponse:
    mark_final(request.scope)
    body = Health(status=phase).model_dump()
    return JSONResponse(body, 200 if ok else 503, headers={"cache-control": "no-store"})
