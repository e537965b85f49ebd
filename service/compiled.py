"""The model compiled by Inductor on CPUs: once for a machine, loaded at every start after that.

vLLM keeps what it has compiled and can load it, but not on CPUs: its loader asks each function to
finish its own loading, which only those of vLLM's GPU backend know how to do. Those that Inductor
alone has compiled are complete as they are; vLLM takes the missing method for a broken file, and
compiles for a minute or more at every start.

vLLM also runs a whole step of the longest kind through what it has compiled or loaded, to see how
much memory that takes. Where the memory of its cache is given, as it is by default here, nothing
depends on that, and a few rows show as well whether it works.

What cannot be compiled is served as it is: slower, and the log says so.
"""

from __future__ import annotations

import logging
import shutil
import sysconfig
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from service import processor

_LOG = logging.getLogger("vllm.mentalllama")  # below vLLM's, for its handler and level
_MARK = "_mentalllama_compiled"
_ROWS = 256
"""Enough for Inductor to divide its loops among threads, as for a step of the usual size."""


def can_compile(environment: Mapping[str, str]) -> bool:
    """Whether there is what Inductor needs: a C++ compiler and Python's headers."""
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return shutil.which(environment.get("CXX") or "g++") is not None and headers.is_file()


def machine_key() -> str:
    """Tells processors apart for which other code is compiled, which vLLM's own cache does not."""
    wanted = ("model name", "flags", "CPU part", "Features")
    lines = {line for line in processor.facts() if line.startswith(wanted)}
    # Which product is taken is part of the compiled function.
    for source in ("packed_linear.py", "half_weights.py"):
        lines.add(Path(__file__).with_name(source).read_text(encoding="utf-8"))
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def register() -> None:
    """Let vLLM load what it has compiled on CPUs; does nothing elsewhere or a second time."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    import torch
    from vllm.compilation import decorators
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    if getattr(CPUModelRunner, _MARK, False):
        return
    torch.compiler.load_compiled_function = _finished(torch.compiler.load_compiled_function)
    if hasattr(decorators, "_try_load_aot_compiled_fn"):
        decorators._try_load_aot_compiled_fn = _announced(decorators._try_load_aot_compiled_fn)
    CPUModelRunner.warming_up_model = _shorter(CPUModelRunner.warming_up_model)
    setattr(CPUModelRunner, _MARK, True)


def _finished(load: Any) -> Any:
    """PyTorch's loader, with the method that vLLM asks for."""

    def load_and_finish(*args: Any, **kwargs: Any) -> Any:
        loaded = load(*args, **kwargs)
        compiled = loaded._artifacts.compiled_fn
        if not hasattr(compiled, "finalize_loading"):
            compiled.finalize_loading = lambda config: None
        return loaded

    return load_and_finish


def _announced(try_load: Any) -> Any:
    """The attempt to load, and a word where there is nothing to load."""

    def load_or_say(*args: Any, **kwargs: Any) -> Any:
        loaded = try_load(*args, **kwargs)
        if loaded is None:
            _LOG.info(
                "Compiling the model for this processor: a minute or two, once. Later starts load "
                "it; --enforce-eager does without."
            )
        return loaded

    return load_or_say


def _shorter(warm: Any) -> Any:
    """The runner's first run of a compiled model, with fewer rows and a way out."""
    import torch

    def warm_shortly(runner: Any) -> None:
        if runner.cache_config.kv_cache_memory_bytes is not None and not runner.is_pooling_model:
            runner.profile_run = lambda: runner._dummy_run(_ROWS, is_profile=True)
        try:
            warm(runner)
        except Exception as error:
            compiled = [one for one in runner.model.modules() if hasattr(one, "do_not_compile")]
            if not compiled:
                raise
            _LOG.warning(
                "The model could not be compiled (%s) and is served as it is, which is slower. "
                "--enforce-eager does not try.",
                type(error).__name__,
            )
            for module in compiled:
                module.do_not_compile = True
            # Single layers are compiled by themselves where the whole is not.
            torch.compiler.set_stance("force_eager")
        finally:
            vars(runner).pop("profile_run", None)

    return warm_shortly
