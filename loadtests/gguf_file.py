"""The embedded model as a GGUF file, for llama.cpp: the same weights in the same bfloat16.

Metadata and tokenizer are copied from the base model's own GGUF file, in the package that the
embedded model is made from; the tensors come from the directory that vLLM serves. What a tensor is
called and that a Llama's query and key rows are stored in another order are conventions of
llama.cpp's converter (`convert_hf_to_gguf.py`, `LlamaModel.permute`): it rotates neighbouring
values where transformers rotates halves.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.chat_template import BARE_TEMPLATE

if TYPE_CHECKING:
    import numpy as np

_TEMPLATE_FIELD = "tokenizer.chat_template"
# What the writer sets itself, or what is no longer so.
_LEFT_OUT = frozenset(
    {
        "GGUF.version",
        "GGUF.tensor_count",
        "GGUF.kv_count",
        "general.architecture",
        "general.file_type",
        "general.quantization_version",
        _TEMPLATE_FIELD,
    }
)


def write_gguf(weights: Path, base: Path, target: Path) -> Path:
    """Write the model of a directory as a GGUF file.

    Args:
        weights: a directory with `config.json` and `model.safetensors`, of Llama's architecture.
        base: a GGUF file of the model that it was fine-tuned from.
        target: the file to write; a reader never sees a part of it.

    Returns:
        `target`.

    Raises:
        ValueError: the weights are not those of `base`'s architecture, or not as many.
        OSError: a file cannot be read or written.
    """
    import gguf
    from safetensors import safe_open

    reader = gguf.GGUFReader(base)
    architecture = reader.fields["general.architecture"].contents()
    if architecture != "llama":
        raise ValueError(f"{base.name} is a {architecture}, not a llama")
    part = target.with_name(f".{target.name}.part")
    writer = gguf.GGUFWriter(part, architecture)
    _copy_fields(reader, writer)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_string(_TEMPLATE_FIELD, BARE_TEMPLATE)
    heads = int(reader.fields["llama.attention.head_count"].contents())
    kv_heads = int(reader.fields["llama.attention.head_count_kv"].contents())
    layers = int(reader.fields["llama.block_count"].contents())
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, layers)
    written = set()
    with safe_open(weights / "model.safetensors", "pt") as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            data = file.get_tensor(name).float().numpy()
            if name.endswith("q_proj.weight"):
                data = permuted(data, heads)
            elif name.endswith("k_proj.weight"):
                data = permuted(data, kv_heads)
            called = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if called is None:
                raise ValueError(f"GGUF has no name for {name}")
            written.add(called)
            # As the converter does: vectors, which are the norms, stay in float32.
            kind = gguf.GGMLQuantizationType.F32 if data.ndim == 1 else _bf16()
            writer.add_tensor(called, gguf.quants.quantize(data, kind), raw_dtype=kind)
    expected = {tensor.name for tensor in reader.tensors}
    if written != expected:
        raise ValueError(f"{len(written ^ expected)} tensors are not those of {base.name}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return part.replace(target)


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key matrix in the order in which llama.cpp rotates them.

    Args:
        weight: heads times width of a head, times width of the input.
        heads: that the rows belong to.
    """
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _bf16() -> Any:
    import gguf

    return gguf.GGMLQuantizationType.BF16


def _copy_fields(reader: Any, writer: Any) -> None:
    for name, field in reader.fields.items():
        if name in _LEFT_OUT:
            continue
        kind, *inner = field.types
        writer.add_key_value(name, field.contents(), kind, sub_type=inner[-1] if inner else None)
