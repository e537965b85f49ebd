"""A LoRA adapter written as an adapter: its settings without paths, its factors in bfloat16."""

from __future__ import annotations

import json
from pathlib import Path

from training.errors import ModelFilesError
from training.export.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS


def copy_adapter(source: Path, target: Path, base_name: str | None) -> None:
    """Write an adapter's settings and weights into another directory.

    Args:
        source: an adapter that `training.export.files.inspect` has passed.
        target: an existing directory.
        base_name: what the adapter calls its base; never a path.

    Raises:
        ModelFilesError: the weights cannot be read, or are not finite.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    try:
        tensors = load_file(source / ADAPTER_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelFilesError(
            f"{source / ADAPTER_WEIGHTS} is not whole: make or get it again."
        ) from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ModelFilesError(
                f"{name} holds numbers that are not finite: the training went wrong. Take an "
                "earlier checkpoint, or train with a lower learning rate."
            )
    # Weights that replace the base's (normalisation) lose too much in bfloat16 before the merge.
    written = {
        name: tensor.to(torch.bfloat16) if ".lora_" in name else tensor
        for name, tensor in tensors.items()
    }
    save_file(written, target / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = json.loads((source / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base_name, "inference_mode": True, "revision": None}
    (target / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
