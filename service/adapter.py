"""The LoRA adapter that makes the embedded model of its base: found, checked, merged.

`shipped_adapter` says where the adapter lies; `Adapter.load` reads its settings and compares its
files with their checksums, on the standard library and pydantic alone; `Adapter.merge_into` adds
it to a model's weights, in the process that builds the embedded model. PEFT writes such adapters
(`adapter_config.json`, `adapter_model.safetensors`) and is not needed to merge one.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.analysis.manifest import MANIFEST_FILE, Manifest, load_manifest
from service.errors import ModelError
from service.weights import CHECKSUMS_FILE, digest, read_checksums

if TYPE_CHECKING:
    import torch

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
FILES = (CONFIG_FILE, WEIGHTS_FILE, MANIFEST_FILE)
"""What an adapter consists of; `checksums.sha256` covers each of them."""

_PREFIX = "base_model.model."
# What changes the arithmetic of a merge and is not done here: each must be unset.
_OTHER_VARIANTS = (
    "alora_invocation_tokens",
    "arrow_config",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
)


class AdapterConfig(BaseModel):
    """`adapter_config.json`, as far as a merge depends on it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    peft_type: Literal["LORA"] = Field(description="The kind of adapter.")
    r: int = Field(ge=1, description="Rank.")
    lora_alpha: float = Field(description="What the product is scaled by, before the rank.")
    bias: Literal["none"] = Field(default="none", description="Whether biases were trained.")
    use_rslora: bool = Field(
        default=False, description="Whether alpha is divided by the root of the rank."
    )
    rank_pattern: Mapping[str, int] = Field(
        default_factory=dict, description="Module's name, or its end, to a rank of its own."
    )
    alpha_pattern: Mapping[str, float] = Field(
        default_factory=dict, description="Module's name, or its end, to an alpha of its own."
    )
    modules_to_save: tuple[str, ...] | None = Field(
        default=None, description="Modules whose weights replace the base model's."
    )

    def scaling(self, module: str) -> float:
        """What the product of a module's two matrices is multiplied by, as PEFT computes it."""
        rank = _by_pattern(self.rank_pattern, module, self.r)
        alpha = _by_pattern(self.alpha_pattern, module, self.lora_alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def _by_pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    # PEFT's own rule (peft.utils.other.get_pattern_key): the first key that the name ends with.
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


@dataclass(frozen=True, slots=True)
class Adapter:
    """A whole and undamaged adapter.

    Attributes:
        directory: where it lies.
        config: its settings.
        manifest: what the merged model says of itself.
    """

    directory: Path
    config: AdapterConfig
    manifest: Manifest

    @classmethod
    def load(cls, directory: Path) -> Adapter:
        """Read an adapter and compare its files with their checksums.

        Raises:
            ModelError: a file is missing or damaged, the manifest is broken, or the adapter is of
                a kind that is not merged here.
        """
        _check_files(directory)
        manifest = load_manifest(directory)
        if manifest is None:  # removed since it was checked
            raise _damaged(directory, f"{MANIFEST_FILE} is missing")
        return cls(directory, _read_config(directory), manifest)

    def merge_into(self, model: Any) -> None:
        """Add the adapter to a transformers model's weights, in place.

        For a linear layer W + s B A, for an embedding W + s (B A)^T, with s the scaling of
        Hu et al., "LoRA", arXiv 2106.09685; the product is made in float32, so the model's weights
        should be float32 too.

        Raises:
            ModelError: the adapter is not one of this model: a layer is missing or has another
                shape.
        """
        import torch
        from safetensors.torch import load_file

        tensors = load_file(self.directory / WEIGHTS_FILE)
        with torch.no_grad():
            while tensors:
                name = next(iter(tensors))
                module, delta, replaces = self._change(name, tensors)
                weight = self._weight(model, module)
                if weight.shape != delta.shape:
                    raise self._misfit(
                        f"{module} has the shape {tuple(weight.shape)}, and the adapter's change "
                        f"of it {tuple(delta.shape)}"
                    )
                if replaces:
                    weight.copy_(delta)
                else:
                    weight.add_(delta.to(weight.dtype))

    def _change(
        self, name: str, tensors: dict[str, torch.Tensor]
    ) -> tuple[str, torch.Tensor, bool]:
        """Take one layer's tensors out of `tensors`.

        Returns:
            The layer's name; what to add to its weight, or to put in its place; which of the two.
        """
        stem = name.removeprefix(_PREFIX)
        for down, up, embedding in (
            (".lora_A.weight", ".lora_B.weight", False),
            (".lora_embedding_A", ".lora_embedding_B", True),
        ):
            if not stem.endswith((down, up)):
                continue
            module = stem.removesuffix(down).removesuffix(up)
            try:
                a = tensors.pop(f"{_PREFIX}{module}{down}").float()
                b = tensors.pop(f"{_PREFIX}{module}{up}").float()
                product = b @ a * self.config.scaling(module)
            except (KeyError, RuntimeError):
                raise self._misfit(f"the two matrices of {module} do not go together") from None
            return module, product.T if embedding else product, False
        module = stem.removesuffix(".weight")
        saved = tuple(self.config.modules_to_save or ())
        if module != stem and module.endswith(saved):  # as PEFT finds the modules
            return module, tensors.pop(name), True
        raise self._misfit(f"nothing is known to do with the tensor {name}")

    def _weight(self, model: Any, module: str) -> torch.Tensor:
        try:
            weight: torch.Tensor = model.get_parameter(f"{module}.weight")
        except AttributeError:
            raise self._misfit(f"the model has no layer {module}") from None
        return weight

    def _misfit(self, why: str) -> ModelError:
        return ModelError(
            f"The adapter in {self.directory} does not fit the base model: {why}. Train or export "
            "it again on this base model, or serve `embedded-base`."
        )


def shipped_adapter(name: str) -> Path | None:
    """Directory of an adapter that comes with this project, or None where it did not come along.

    In a checkout it lies in `models/`. A wheel has what is in `models/` as the package
    `mentalllama_models`, which is not there to be imported.
    """
    root = Path(__file__).resolve().parents[1]
    places = (root / "models" / name, root / "mentalllama_models" / name)
    return next((place for place in places if place.is_dir()), None)


def fingerprint(directory: Path) -> str:
    """One SHA-256 over all of an adapter's files: another adapter or calibration, another digest.

    Raises:
        ModelError: a file is missing or cannot be read.
    """
    digests = (_digest(directory, name) for name in FILES)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _check_files(directory: Path) -> None:
    try:
        expected = read_checksums(directory)
    except (OSError, UnicodeDecodeError):
        raise _damaged(directory, f"{CHECKSUMS_FILE} is missing or cannot be read") from None
    for name in FILES:
        if name not in expected:
            raise _damaged(directory, f"{CHECKSUMS_FILE} does not name {name}")
        if _digest(directory, name) != expected[name]:
            raise _damaged(directory, f"{name} is not what {CHECKSUMS_FILE} says")


def _digest(directory: Path, name: str) -> str:
    try:
        return digest(directory / name)
    except OSError as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise _damaged(directory, f"{name} {reason}") from None


def _read_config(directory: Path) -> AdapterConfig:
    path = directory / CONFIG_FILE
    try:
        config = AdapterConfig.model_validate_json(path.read_bytes())
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_input=False)
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _unsupported(path, f"{field}: {first['msg']}") from None
    for name in _OTHER_VARIANTS:
        if (config.model_extra or {}).get(name):
            raise _unsupported(path, f"{name} is set")
    return config


def _unsupported(path: Path, why: str) -> ModelError:
    return ModelError(
        f"{path} is not a LoRA adapter that can be merged ({why}): export a plain one with "
        "`mentalllama-train export`, or serve `embedded-base`."
    )


def _damaged(directory: Path, why: str) -> ModelError:
    return ModelError(
        f"The adapter in {directory} is damaged ({why}): get the directory again from the "
        "repository, train it again with `make train-embedded`, or serve `embedded-base`."
    )
