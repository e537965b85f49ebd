"""An Analyzer on an engine in this process, for the command line and the benchmark."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.analysis.analyzer import Analyzer
from service.analysis.types import DecisionPolicy
from service.errors import InvalidRequestError, ModelError
from service.launch import engine_options, environment, runs_on_cpu
from service.models import ResolvedModel, resolve_model
from service.weights import check_directory, refuse_code

if TYPE_CHECKING:
    from vllm.engine.protocol import EngineClient
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM


@contextlib.asynccontextmanager
async def open_analyzer(
    model: str | ResolvedModel,
    options: Sequence[str] = (),
    *,
    adapters: Mapping[str, Path] | None = None,
    policy: DecisionPolicy | None = None,
) -> AsyncIterator[Analyzer]:
    """Load a model and give a warm Analyzer on it; the engine stops when the block is left.

    Args:
        model: `embedded`, a directory or a hub id, or what these resolved to.
        options: options of vLLM's engine, as on its command line.
        adapters: LoRA adapters to serve beside the model: name to directory.
        policy: the deployment's decision policy.

    Raises:
        ModelError: the model cannot be found, loaded or analysed with.
    """
    chosen = [*options, "--enable-lora"] if adapters else options
    async with open_client(model, chosen) as client:
        from service.serving import make_analyzer

        yield await make_analyzer(client, _requests(adapters or {}), policy)


@contextlib.asynccontextmanager
async def open_client(
    model: str | ResolvedModel, options: Sequence[str] = ()
) -> AsyncIterator[EngineClient]:
    """Load a model into vLLM, with the service's options and without its log.

    Args:
        model: as for `open_analyzer`.
        options: as for `open_analyzer`.

    Raises:
        ModelError: the model cannot be found or loaded.
        InvalidRequestError: an option would run code that comes with a model.
    """
    resolved = resolve_model(model) if isinstance(model, str) else model
    check_directory(Path(resolved.path))
    cpu = runs_on_cpu()
    os.environ.update(environment(resolved, os.environ, cpu=cpu))
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        with _silent():
            client = _engine(resolved, engine_options(resolved, options, cpu=cpu))
    except InvalidRequestError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"vLLM could not load the model `{resolved.name}` ({type(error).__name__}). "
            "Run `mentalllama serve` with it to see vLLM's own log."
        ) from error
    try:
        yield client
    finally:
        client.shutdown()
        # Its finalizer shuts it down once more; at the interpreter's end, when the modules that
        # takes are gone, that would print a traceback.
        client.shutdown = _nothing


def _engine(model: ResolvedModel, options: Sequence[str]) -> AsyncLLM:
    """Start vLLM's engine."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser
    from vllm.v1.engine.async_llm import AsyncLLM

    parser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser(prog="mentalllama"))
    parsed = parser.parse_args(["--model", model.path, *options])
    refuse_code(parsed, model.path)
    return AsyncLLM.from_engine_args(AsyncEngineArgs.from_cli_args(parsed))


def _requests(adapters: Mapping[str, Path]) -> dict[str, LoRARequest]:
    """What vLLM takes for each adapter; its ids count from 1."""
    from vllm.lora.request import LoRARequest

    return {
        name: LoRARequest(name, number, str(path))
        for number, (name, path) in enumerate(adapters.items(), 1)
    }


def _nothing(*_: object, **__: object) -> None:
    """Do nothing."""


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep this process, and for good those it starts, from writing to standard error.

    vLLM's workers print progress bars and warnings of native code that no log level holds back.
    """
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
