"""`GET /livez` and `GET /readyz`, for whoever restarts the process or sends it traffic.

Alive is a process whose engine is not dead; ready is one that may be sent work. Both say so in
JSON with a `status`, on 503 too: a probe's answer is no error of the caller.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from service.api.route import ServiceRoute
from service.api.state import Phase, ServiceState, current_state
from service.failures import log_failure
from service.gate.shape import mark_final, request_id_of

router = APIRouter(route_class=ServiceRoute)

_DEAD = "dead"


class Health(BaseModel):
    """How the service is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: str = Field(
        description="`starting`, `ready`, `stopping`, or `dead` when the engine has died.",
        examples=["ready"],
    )


@router.get("/livez", response_model=None)
async def livez(request: Request) -> JSONResponse:
    """Answer 200 while the engine lives, also before and after it is ready; 503 once it is dead."""
    status = await _status(request)
    return _answer(request, status, ok=status != _DEAD)


@router.get("/readyz", response_model=None)
async def readyz(request: Request) -> JSONResponse:
    """Answer 200 when the service may be sent work, else 503."""
    status = await _status(request)
    return _answer(request, status, ok=status == Phase.READY)


async def _status(request: Request) -> str:
    state = current_state(request.app)
    if state is None:
        return Phase.STARTING
    return state.phase if await _lives(state, request) else _DEAD


async def _lives(state: ServiceState, request: Request) -> bool:
    try:
        await state.check_engine()
    except Exception as error:  # noqa: BLE001 - any failure of the check is the answer
        log_failure(error, request_id_of(request.scope))
        return False
    return True


def _answer(request: Request, status: str, *, ok: bool) -> JSONResponse:
    mark_final(request.scope)
    body = Health(status=status).model_dump()
    return JSONResponse(body, 200 if ok else 503, headers={"cache-control": "no-store"})
