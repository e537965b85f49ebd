"""Our routes in a process of their own, on an engine that fails when it is told to.

    python -m tests.chaos.server --port N

Everything but the engine is real: gate, lifecycle, watchdog, Analyzer, uvicorn, uvloop. SIGUSR1
makes the engine hang, SIGUSR2 makes it die. `CHAOS_DELAY` is how long it takes a step,
`CHAOS_WORDS` how many words an explanation has. /metrics says what could leak: tasks and requests
in the engine.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import uvicorn
import uvloop
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from service.analysis.analyzer import Analyzer
from service.analysis.engine import Chunk, RequestContext, TokenRead
from service.analysis.manifest import assumed_manifest
from service.api import attach
from service.api.state import ServiceState
from service.errors import EngineError
from service.lifecycle import Phase, lifecycle_of
from service.lifespan import WATCHDOG
from service.log_format import configure_logs
from service.settings import load_settings
from service.watchdog import Progress, Watchdog
from tests.tokenizers import word_tokenizer


class Client:
    """Stands for vLLM's client: every request goes through `generate`, step by step."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.hangs = self.dead = False
        self.running = 0

    async def generate(self, steps: int) -> AsyncGenerator[int, None]:
        self.running += 1
        try:
            for step in range(steps):
                await asyncio.sleep(self.delay)
                while self.hangs:  # noqa: ASYNC110 - it does just that
                    await asyncio.sleep(0.05)
                if self.dead:
                    raise EngineError("The engine failed.")
                yield step
        finally:
            self.running -= 1

    async def check_health(self) -> None:
        if self.dead:
            raise RuntimeError("dead")


class Engine:
    """See `service.analysis.engine.Engine`."""

    max_model_len = 4096
    adapters: tuple[str, ...] = ()

    def __init__(self, client: Client, words: int) -> None:
        self.client = client
        self.words = words

    async def read(
        self, prompt: Sequence[int], token_ids: Sequence[int], context: RequestContext, suffix: str
    ) -> TokenRead:
        async with aclosing(self.client.generate(1)) as outputs:
            async for _ in outputs:
                pass
        return TokenRead((-math.log(len(token_ids)),) * len(token_ids), len(prompt), 0)

    async def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        context: RequestContext,
        suffix: str,
        grammar: str | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        steps = min(self.words, max_tokens)
        async with aclosing(self.client.generate(steps)) as outputs:
            async for step in outputs:
                reason = "stop" if step == steps - 1 else None
                yield Chunk(" word", step + 1, len(prompt), 0, reason)


async def serve(port: int) -> None:
    settings = load_settings()
    configure_logs(settings.log_format)
    app = FastAPI()
    attach(app, settings)
    client = Client()
    progress = Progress()
    progress.watch(client)
    analyzer = Analyzer(
        Engine(client, int(os.environ.get("CHAOS_WORDS", "8"))),
        word_tokenizer(),
        assumed_manifest("chaos", has_chat_template=True),
        "chaos",
        None,
    )
    await analyzer.warm()
    client.delay = float(os.environ.get("CHAOS_DELAY", "0.02"))
    setattr(
        app.state, WATCHDOG, Watchdog(client.check_health, progress, settings.stall_seconds, 0.2)
    )
    app.state.mentalllama = ServiceState(analyzer, settings, client.check_health)

    @app.get("/metrics")
    def metrics() -> Response:
        gc.collect()
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    Gauge("chaos_engine_requests", "In the engine.").set_function(lambda: client.running)
    loop = asyncio.get_running_loop()
    Gauge("chaos_tasks", "Tasks.").set_function(lambda: len(asyncio.all_tasks(loop)))
    loop.add_signal_handler(signal.SIGUSR1, lambda: setattr(client, "hangs", True))
    loop.add_signal_handler(signal.SIGUSR2, lambda: setattr(client, "dead", True))
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="info", access_log=True)
    )
    app.state.server = server
    lifecycle = lifecycle_of(app)
    assert lifecycle is not None
    lifecycle.move(Phase.READY)
    await server.serve()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[sys.argv.index("--port") + 1])))
