"""An Analyzer on an engine in this process, for the command line and the benchmark."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Sequence

from service.analysis.analyzer import Analyzer
from service.analysis.types import DecisionPolicy
from service.errors import ModelError
from service.launch import engine_options, environment, runs_on_cpu
from service.models import ResolvedModel, resolve_model


@contextlib.asynccontextmanager
async def open_analyzer(
    model: str | ResolvedModel,
    options: Sequence[str] = (),
    *,
    policy: DecisionPolicy | None = None,
    quiet: bool = True,
) -> AsyncIterator[Analyzer]:
    """Load a model and give a warm Analyzer on it; the engine stops when the block is left.

    Args:
        model: `embedded`, a directory or a hub id, or what these resolved to.
        options: options of vLLM's engine, as on its command line.
        policy: the deployment's decision policy.
        quiet: keep vLLM's log off standard error below errors.

    Raises:
        ModelError: the model cannot be found, loaded or analysed with.
    """
    resolved = resolve_model(model) if isinstance(model, str) else model
    cpu = runs_on_cpu()
    os.environ.update(environment(resolved, os.environ, cpu=cpu))
    if quiet:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser
    from vllm.v1.engine.async_llm import AsyncLLM

    from service.serving import make_analyzer

    parser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser(prog="mentalllama"))
    parsed = parser.parse_args(
        ["--model", resolved.path, *engine_options(resolved, options, cpu=cpu)]
    )
    try:
        client = AsyncLLM.from_engine_args(AsyncEngineArgs.from_cli_args(parsed))
    except Exception as error:
        raise ModelError(
            f"vLLM could not load the model `{resolved.name}` ({type(error).__name__}). "
            "Run `mentalllama serve` with it to see vLLM's own log."
        ) from error
    try:
        yield await make_analyzer(client, policy=policy)
    finally:
        client.shutdown()
