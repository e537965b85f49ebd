"""What the routes work with: one `ServiceState`, put at `app.state.mentalllama` at start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from fastapi import FastAPI

from service.analysis.interface import Analyzes
from service.errors import NotReadyError
from service.settings import Settings


class Phase(StrEnum):
    """Where the service stands between start and stop."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(slots=True)
class ServiceState:
    """One running service.

    Attributes:
        analyzer: the loaded model.
        settings: the deployment's settings.
        check_engine: raises (anything) when the engine is dead.
        phase: `STOPPING` when the service drains; it is made when it may answer.
    """

    analyzer: Analyzes
    settings: Settings
    check_engine: Callable[[], Awaitable[None]]
    phase: Phase = Phase.READY


def current_state(app: FastAPI) -> ServiceState | None:
    """The service's state, or None while there is no engine yet."""
    state: ServiceState | None = getattr(app.state, "mentalllama", None)
    return state


def ready_state(app: FastAPI) -> ServiceState:
    """The service's state once it may answer.

    Raises:
        NotReadyError: the service is starting or stopping.
    """
    state = current_state(app)
    phase = Phase.STARTING if state is None else state.phase
    if state is None or phase is not Phase.READY:
        raise NotReadyError(f"The service is {phase}; try again when /readyz answers 200.")
    return state
