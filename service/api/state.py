"""What the routes work with: one `ServiceState`, put at `app.state.mentalllama` at start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import FastAPI

from service.analysis.interface import Analyzes
from service.errors import NotReadyError
from service.lifecycle import ENDING, Phase, lifecycle_of
from service.settings import Settings


@dataclass(slots=True)
class ServiceState:
    """One running service.

    Attributes:
        analyzer: the loaded model.
        settings: the deployment's settings.
        check_engine: raises (anything) when the engine is dead.
    """

    analyzer: Analyzes
    settings: Settings
    check_engine: Callable[[], Awaitable[None]]


def current_state(app: FastAPI) -> ServiceState | None:
    """The service's state, or None while there is no engine yet."""
    state: ServiceState | None = getattr(app.state, "mentalllama", None)
    return state


def ready_state(app: FastAPI) -> ServiceState:
    """The service's state once it may answer.

    What was accepted before a drain is still answered; `service.gate.drain` lets nothing else in.

    Raises:
        NotReadyError: the service is starting.
    """
    state = current_state(app)
    if state is None:
        phase = current_phase(app)
        raise NotReadyError(f"The service is {phase}; try again when /readyz answers 200.")
    return state


def current_phase(app: FastAPI) -> Phase:
    """Where the service stands; ready as soon as there is a state and no end has begun."""
    lifecycle = lifecycle_of(app)
    phase = Phase.STARTING if lifecycle is None else lifecycle.phase
    return Phase.READY if phase not in ENDING and current_state(app) is not None else phase
