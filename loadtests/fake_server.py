"""Our routes on an engine that answers at once: what is left of a request is our own overhead.

    python -m loadtests.fake_server TOKENIZER --port N

Everything but the engine is real: gate, schemas, the tokenizer, label tries, calibration, checks.
With `--bare` it is a FastAPI route that reads the request as JSON and answers: what the framework
and the machine take of a time by themselves.
"""

from __future__ import annotations

import gc
import math
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from fastapi import FastAPI

from service.analysis.analyzer import Analyzer
from service.analysis.engine import Chunk, RequestContext, TokenRead
from service.analysis.manifest import assumed_manifest, load_manifest
from service.api import attach
from service.api.state import ServiceState
from service.log_format import configure_logs
from service.settings import Settings

_EXPLANATION = "The post says so in as many words as anybody would need to see it."


class InstantEngine:
    """Says that all tokens are equally likely, and explains in a sentence; nothing takes time."""

    max_model_len = 8192
    adapters: tuple[str, ...] = ()

    async def read(
        self, prompt: Sequence[int], token_ids: Sequence[int], context: RequestContext, suffix: str
    ) -> TokenRead:
        """See `service.analysis.engine.Engine`."""
        del context, suffix
        even = -math.log(len(token_ids))
        return TokenRead((even,) * len(token_ids), len(prompt), 0)

    async def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        context: RequestContext,
        suffix: str,
        grammar: str | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        """See `service.analysis.engine.Engine`."""
        del context, suffix, grammar
        words = _EXPLANATION.split()
        for number, word in enumerate(words[:max_tokens], 1):
            last = number == min(len(words), max_tokens)
            yield Chunk(f" {word}", number, len(prompt), 0, "stop" if last else None)


def make_app(tokenizer: Path) -> FastAPI:
    """The app, warm."""
    import asyncio

    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    manifest = load_manifest(tokenizer) or assumed_manifest(
        str(tokenizer), bool(loaded.chat_template)
    )
    analyzer = Analyzer(InstantEngine(), loaded, manifest, "instant", None)
    asyncio.run(analyzer.warm())

    async def alive() -> None:
        return None

    app, settings = FastAPI(), Settings()
    attach(app, settings)
    app.state.mentalllama = ServiceState(analyzer, settings, alive)
    return app


def make_bare() -> FastAPI:
    """An app that knows no tokenizer, no gate and no schema."""
    app = FastAPI()

    @app.get("/livez")
    async def alive() -> None:
        return None

    @app.post("/analyze")
    async def analyze(body: dict[str, Any]) -> dict[str, Any]:
        return {"results": [{"answers": [], "echo": body}], "usage": {"completion_tokens": 0}}

    return app


def main(
    tokenizer: Annotated[Path, typer.Argument(help="Directory of a model or its tokenizer.")],
    port: Annotated[int, typer.Option(help="Where to listen.")],
    bare: Annotated[bool, typer.Option("--bare", help="Without anything of ours.")] = False,
) -> None:
    """Serve until stopped."""
    configure_logs("text")  # our own line a request is part of our overhead
    app = make_bare() if bare else make_app(tokenizer)
    gc.collect()
    gc.freeze()  # as vLLM's server does before it serves
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    )
    app.state.server = server  # as vLLM's server does it
    server.run()


if __name__ == "__main__":
    typer.run(main)
