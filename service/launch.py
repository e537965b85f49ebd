"""From a model and options to a running vLLM server, or to arguments for an engine in this process.

`launch` replaces this process by `python -m service.server` with vLLM's options and environment;
`service.local` uses the same options for an engine of its own, so that what the command line says
in process is what the server says. Every default here gives way to an option or variable of the
user's.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from service import processor, short_blocks
from service.analysis.quotation import BACKEND
from service.chat_template import served_template
from service.models import ResolvedModel
from service.settings import STOP_SECONDS, Settings, load_settings
from service.weights import SAFETENSORS, check_directory

PLUGIN = "mentalllama"
LOOPBACK = "127.0.0.1"
"""Where the server listens unless it is told otherwise."""
MODEL_VARIABLE = "MENTALLLAMA_MODEL_NAME"
"""Under which name the server's child process finds what the user called the model."""

_PLUGIN_GROUPS = (
    "vllm.general_plugins",
    "vllm.platform_plugins",
    "vllm.io_processor_plugins",
    "vllm.stat_logger_plugins",
)


def engine_options(model: ResolvedModel, given: Sequence[str], *, cpu: bool) -> list[str]:
    """Options for vLLM's engine: the user's, and a default for each that was not given.

    Args:
        model: what to serve.
        given: the user's options, passed through untouched.
        cpu: whether vLLM's CPU build runs the model.
    """
    defaults: dict[str, str | None] = {
        # A bf16 head rounds logits to steps of 0.06 to 0.125, which is coarser than the margins
        # between labels; only the head's product is computed in float32.
        "--hf-overrides": json.dumps({"head_dtype": "float32"}),
        "--served-model-name": model.name,
        # The one that keeps an explanation's quotes to the post's words; vLLM runs one per engine.
        "--structured-outputs-config": json.dumps({"backend": BACKEND}),
    }
    if "://" not in model.path:  # from a URL vLLM streams safetensors by formats of its own
        defaults["--load-format"] = SAFETENSORS
    if cpu:
        # The CPU backend's block of 128 tokens is longer than most posts: nothing would be shared.
        defaults["--block-size"] = str(
            2 * short_blocks.TOKENS if _has_amx() else short_blocks.TOKENS
        )
        if model.embedded and processor.prefers_float32():
            # Products of bfloat16 take two to six times as long there. Weights of twice the size
            # are nothing for this model; for a large one it is the operator who knows.
            defaults["--dtype"] = "float32"
        # Compiling needs a C++ compiler and takes a minute or two.
        if not _configures_compilation(given):
            defaults["--enforce-eager"] = None
    options = list(given)
    for name, value in defaults.items():
        if not has_option(given, name):
            options += [name] if value is None else [name, value]
    return options


def server_options(
    given: Sequence[str], settings: Settings, template: str | None = None
) -> list[str]:
    """Options for vLLM's HTTP server that the user did not give.

    Args:
        given: the user's options.
        settings: the service's.
        template: the chat template, where it is not the model's own.
    """
    options = []
    if template is not None and not has_option(given, "--chat-template"):
        options += ["--chat-template", template]
    if not has_option(given, "--host") and not has_option(given, "--uds"):
        # Whoever reaches the port can read what the model says of any post; opening it to others
        # is a decision of the operator's.
        options += ["--host", LOOPBACK]
    if not has_option(given, "--enable-offline-docs", "--disable-fastapi-docs"):
        options.append("--enable-offline-docs")
    if not has_option(given, "--disable-uvicorn-access-log"):
        # Its lines hold whatever stands in a URL; `service.gate.record` has one line a request.
        options.append("--disable-uvicorn-access-log")
    if settings.log_format == "json" and not has_option(given, "--logging-config"):
        options += ["--logging-config.formatter", "json"]
    if not has_option(given, "--shutdown-timeout"):
        # With several API servers their parent kills those that take longer than this to drain.
        options += ["--shutdown-timeout", str(math.ceil(settings.grace_seconds) + STOP_SECONDS)]
    # vLLM puts the layers a plugin adds inside its own; what it refuses itself (an API key, say)
    # would not pass the gate. The last of these options is the outermost layer.
    return [*options, "--middleware", "service.gate.Gate"]


def environment(model: ResolvedModel, present: Mapping[str, str], *, cpu: bool) -> dict[str, str]:
    """Variables to add to `present` before vLLM is imported."""
    added = {
        "VLLM_PLUGINS": _plugins(present.get("VLLM_PLUGINS")),
        MODEL_VARIABLE: model.name,
    }
    defaults = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    # What llguidance writes to stderr can hold a grammar, and with it a post.
    defaults["LLGUIDANCE_LOG_LEVEL"] = "0"
    if Path(model.path).is_dir():
        defaults["HF_HUB_OFFLINE"] = "1"
    if cpu:
        defaults["VLLM_CPU_KVCACHE_SPACE"] = "2"
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) <= 2:
            # vLLM keeps one core for the server; of two, that is half of the machine, and the
            # server needs a few percent of it.
            defaults["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
            # The model in the scheduler's process and not in one more: a third of the start, and a
            # process less that waits for the other on the cores that the model needs. vLLM takes
            # another process to set OpenMP's variables for it, which are set here.
            defaults["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
            defaults["OMP_NUM_THREADS"] = str(len(cores))
            defaults["KMP_BLOCKTIME"] = "5"
            defaults["KMP_TPAUSE"] = "0"
        openmp = _intel_openmp()
        if openmp is not None and "iomp" not in present.get("LD_PRELOAD", ""):
            added["LD_PRELOAD"] = ":".join(filter(None, [present.get("LD_PRELOAD"), str(openmp)]))
    return added | {name: value for name, value in defaults.items() if name not in present}


def server_command(model: ResolvedModel, given: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command that runs the server, and the environment that it needs.

    Raises:
        InvalidSettingsError: the environment holds a wrong setting.
        ModelError: the model's files are not what they should be.
    """
    check_directory(Path(model.path))
    cpu = runs_on_cpu()
    settings = load_settings()
    options = [
        *engine_options(model, given, cpu=cpu),
        *server_options(given, settings, served_template(model)),
    ]
    # -P: a file in the current directory must not stand in for one of ours.
    command = [sys.executable, "-P", "-m", "service.server", model.path, *options]
    return command, dict(os.environ) | environment(model, os.environ, cpu=cpu)


def launch(model: ResolvedModel, given: Sequence[str]) -> NoReturn:
    """Replace this process by the server; never returns.

    Raises:
        InvalidSettingsError: the environment holds a wrong setting.
        ModelError: the model's files are not what they should be.
    """
    command, variables = server_command(model, given)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, variables)


def has_option(given: Sequence[str], *names: str) -> bool:
    """Whether one of the options is given, in any of the spellings that vLLM accepts."""
    wanted = set(names) | {name.replace("--", "--no-", 1) for name in names}
    present = {one.split("=", 1)[0].replace("_", "-") for one in given if one.startswith("--")}
    # `--hf-overrides.head_dtype X` is vLLM's dotted spelling of a JSON option.
    return bool(wanted & ({one.split(".", 1)[0] for one in present} | present))


def option_value(given: Sequence[str], name: str, default: str) -> str:
    """The value of an option that takes one, as `--name value` or `--name=value`; the last counts.

    An empty value is one: it is the user's.
    """
    value = default
    for index, one in enumerate(given):
        if one == name:
            value = given[index + 1] if index + 1 < len(given) else ""
        elif one.startswith(f"{name}="):
            value = one.split("=", 1)[1]
    return value


def runs_on_cpu() -> bool:
    """Whether the installed vLLM is the CPU build; importing vLLM to ask takes seconds."""
    from importlib.metadata import PackageNotFoundError, version

    for name in ("vllm-cpu", "vllm"):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        return name == "vllm-cpu" or "cpu" in found
    return False


def _plugins(present: str | None) -> str:
    """The value of VLLM_PLUGINS: ours, and whatever would have been loaded without it.

    vLLM loads endpoint plugins only where this names them, but then it also loads only the named
    ones of every other group.
    """
    if present is not None:
        names = [name for name in present.split(",") if name]
    else:
        names = [point.name for group in _PLUGIN_GROUPS for point in entry_points(group=group)]
    return ",".join(dict.fromkeys([*names, PLUGIN]))


def _configures_compilation(given: Sequence[str]) -> bool:
    """Whether the user configures compilation, which --enforce-eager would switch off."""
    return has_option(given, "--compilation-config", "--optimization-level") or any(
        one.startswith(("-O", "-cc")) for one in given
    )


def _has_amx() -> bool:
    """Whether the processor has AMX, whose attention kernel takes blocks of 32 tokens."""
    return "amx_tile" in processor.flags()


def _intel_openmp() -> Path | None:
    """The OpenMP runtime that vLLM's CPU build asks for, where `intel-openmp` is installed."""
    spec = find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    library = root.parents[3] / "lib" / "libiomp5.so" if len(root.parents) > 3 else None
    candidates = [Path(sys.prefix) / "lib" / "libiomp5.so", *([library] if library else [])]
    return next((path for path in candidates if path.is_file()), None)
