"""The vLLM endpoint plugin: puts our routes on vLLM's app and an Analyzer behind them.

vLLM calls `attach_router` once its own routes are there and `init_state` once the engine runs; the
server listens after that, so by then every question has been read once.
"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.datastructures import State
    from vllm.engine.protocol import EngineClient


class MentalLlamaPlugin:
    """Implements vLLM's `EndpointPlugin` protocol."""

    name = "mentalllama"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        """Add the routes and the layers before them to vLLM's app."""
        from service.api import attach

        attach(app)

    async def init_state(
        self, engine_client: EngineClient | None, state: State, args: Namespace
    ) -> None:
        """Make the Analyzer on vLLM's engine and warm it.

        Raises:
            ServiceError: the model or the deployment's settings cannot be used; the start fails.
        """
        from service.api.state import ServiceState
        from service.logs import keep_requests_out
        from service.serving import make_analyzer, show_baseline
        from service.settings import load_policy, load_settings

        if engine_client is None:
            return
        settings = load_settings()
        analyzer = await make_analyzer(engine_client, _adapters(state), load_policy(settings))
        keep_requests_out()
        show_baseline(engine_client, settings.baseline)
        state.mentalllama = ServiceState(
            analyzer=analyzer, settings=settings, check_engine=engine_client.check_health
        )


def _adapters(state: State) -> dict[str, Any]:
    """LoRA adapters that vLLM's own routes serve, by name; shared so that each is loaded once."""
    models = getattr(state, "openai_serving_models", None)
    return dict(getattr(models, "lora_requests", None) or {})
