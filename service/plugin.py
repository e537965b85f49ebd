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
        from service.log_format import configure_logs
        from service.settings import load_settings

        settings = load_settings()
        configure_logs(settings.log_format)
        attach(app, settings)

    async def init_state(
        self, engine_client: EngineClient | None, state: State, args: Namespace
    ) -> None:
        """Make the Analyzer on vLLM's engine and warm it.

        Raises:
            ServiceError: the model or the deployment's settings cannot be used, or the server would
                be open to others without keys; the start fails.
        """
        from service.analysis.redaction import Redacting
        from service.api.state import ServiceState
        from service.gate.exposure import check_exposure, has_keys
        from service.lifecycle import ATTRIBUTE, Lifecycle, Phase
        from service.lifespan import WATCHDOG
        from service.logs import keep_requests_out
        from service.serving import make_analyzer, show_baseline
        from service.settings import load_policy, load_settings
        from service.spans import root, switch_on
        from service.watchdog import Progress, Watchdog

        if engine_client is None:
            return
        settings = load_settings()
        if not has_keys(settings):
            # `mentalllama serve` has looked before; `vllm serve` with this plugin has not, and an
            # API key of its own would leave our routes open.
            check_exposure(settings, args.host, socket=bool(args.uds))
        lifecycle: Lifecycle = getattr(state, ATTRIBUTE)
        progress = Progress()
        progress.watch(engine_client)
        lifecycle.move(Phase.WARMING)
        if engine_client.vllm_config.observability_config.otlp_traces_endpoint is not None:
            switch_on()
        with root("warm_up"):
            made = await make_analyzer(engine_client, _adapters(state), load_policy(settings))
        analyzer = Redacting(made) if settings.redact else made
        keep_requests_out()
        check = engine_client.check_health
        setattr(state, WATCHDOG, Watchdog(check, progress, settings.stall_seconds))
        show_baseline(engine_client, settings.baseline)
        state.mentalllama = ServiceState(analyzer=analyzer, settings=settings, check_engine=check)
        lifecycle.move(Phase.READY)


def _adapters(state: State) -> dict[str, Any]:
    """LoRA adapters that vLLM's own routes serve, by name; shared so that each is loaded once."""
    models = getattr(state, "openai_serving_models", None)
    return dict(getattr(models, "lora_requests", None) or {})
