"""A model's weights tensor by tensor, and which part of the model each belongs to.

Nothing but the tensor asked for is in memory, so that two large models can be compared on a small
machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import ModelFilesError

if TYPE_CHECKING:
    import torch


class Part(StrEnum):
    """What a tensor is the weight of."""

    LINEAR = "linear"
    EMBEDDING = "embedding"
    NORM = "norm"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights in a directory.

    Attributes:
        directory: where they lie, in safetensors.
        files: name of a tensor to the name of the file that holds it.
    """

    directory: Path
    files: Mapping[str, str]

    @classmethod
    def of(cls, directory: Path) -> Weights:
        """Find the tensors of a model's directory that `training.export.files.inspect` has passed.

        Raises:
            ModelFilesError: a file is no safetensors file.
        """
        from safetensors import SafetensorError, safe_open

        index = directory / "model.safetensors.index.json"
        if index.is_file():
            return cls(directory, json.loads(index.read_text(encoding="utf-8"))["weight_map"])
        path = directory / "model.safetensors"
        try:
            with safe_open(path, framework="pt") as file:
                return cls(directory, dict.fromkeys(file.keys(), path.name))
        except (OSError, SafetensorError) as error:
            raise ModelFilesError(f"{path} is not whole: make or get it again.") from error

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor, in float32.

        Raises:
            ModelFilesError: it cannot be read, or holds a number that is not finite.
        """
        from safetensors import SafetensorError, safe_open

        path = self.directory / self.files[name]
        try:
            with safe_open(path, framework="pt") as file:
                tensor: torch.Tensor = file.get_tensor(name).float()
        except (OSError, SafetensorError) as error:
            raise ModelFilesError(f"{path} is not whole: make or get it again.") from error
        if not bool(tensor.isfinite().all()):
            raise ModelFilesError(
                f"{name} in {self.directory} holds numbers that are not finite: the training went "
                "wrong. Take an earlier checkpoint, or train with a lower learning rate."
            )
        return tensor


def skeleton(directory: Path) -> Any:
    """The model of a directory without its weights, on torch's meta device.

    Raises:
        ModelFilesError: transformers does not know the architecture.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(directory, local_files_only=True)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise ModelFilesError(
            f"{directory} is no causal language model that transformers knows "
            f"({type(error).__name__}): see its config.json."
        ) from error


def parts(model: Any) -> dict[str, Part]:
    """Name of every tensor to what it is the weight of."""
    import torch

    found: dict[str, Part] = {}
    for module_name, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        for name, parameter in own.items():
            part = Part.OTHER
            if name == "weight":
                if isinstance(module, torch.nn.Linear):
                    part = Part.LINEAR
                elif isinstance(module, torch.nn.Embedding):
                    part = Part.EMBEDDING
                elif parameter.dim() == 1 and len(own) == 1:
                    part = Part.NORM
            found[f"{module_name}.{name}"] = part
    return found
