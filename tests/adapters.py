"""LoRA adapters that tests write: whole ones, with a manifest and checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imhi.tasks import WORDING_VERSION
from service.adapter import CHECKSUMS_FILE, CONFIG_FILE, FILES, WEIGHTS_FILE
from service.analysis.manifest import MANIFEST_FILE


def write_adapter(
    directory: Path, tensors: Mapping[str, Any] | None = None, **config: object
) -> Path:
    """An adapter in a new directory: `tensors` by name, `config` beside what every one has."""
    from safetensors.torch import save_file

    directory.mkdir(parents=True)
    save_file(dict(tensors or {}), directory / WEIGHTS_FILE)
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, "bias": "none", **config}
    (directory / CONFIG_FILE).write_text(json.dumps(settings))
    write_manifest(directory)
    write_checksums(directory)
    return directory


def write_manifest(directory: Path, **fields: object) -> None:
    manifest = {
        "schema_version": 1,
        "name": "an-adapter",
        "prompt_style": "bare",
        "wording_version": WORDING_VERSION,
        "notes": "Written for a test.",
        **fields,
    }
    (directory / MANIFEST_FILE).write_text(json.dumps(manifest))


def write_checksums(directory: Path) -> None:
    """As sha256sum writes them."""
    lines = [
        f"{hashlib.sha256((directory / name).read_bytes()).hexdigest()}  {name}\n" for name in FILES
    ]
    (directory / CHECKSUMS_FILE).write_text("".join(lines))
