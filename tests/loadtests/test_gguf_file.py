"""The GGUF file: the base's metadata, the fine-tuned weights, rows in llama.cpp's order."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from loadtests.gguf_file import permuted, write_gguf
from service.chat_template import BARE_TEMPLATE

HEADS, KV_HEADS, HIDDEN, INNER, WORDS = 4, 2, 64, 96, 10


def test_rows_are_rotated_as_neighbours() -> None:
    """Rotating neighbours of the permuted rows is rotating halves of the original ones."""
    heads, width = 2, 8
    weight = np.random.default_rng(0).normal(size=(heads * width, 5))
    state = np.random.default_rng(1).normal(size=5)
    angles = np.arange(1, width // 2 + 1) / 10

    def turned(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cos, sin = np.cos(angles), np.sin(angles)
        return first * cos - second * sin, first * sin + second * cos

    query = (weight @ state).reshape(heads, width)
    halves = [turned(one[: width // 2], one[width // 2 :]) for one in query]
    query = (permuted(weight, heads) @ state).reshape(heads, width)
    neighbours = [turned(one[0::2], one[1::2]) for one in query]
    assert np.allclose(halves, neighbours)


def make_base(path: Path, names: list[str]) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Base")
    writer.add_block_count(1)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_token_list(["a", "b"])
    writer.add_chat_template("another")
    for name in names:
        writer.add_tensor(name, np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shapes = {
        "model.embed_tokens.weight": (WORDS, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "model.layers.0.self_attn.q_proj.weight": (HIDDEN, HIDDEN),
        "model.layers.0.self_attn.k_proj.weight": (HIDDEN // 2, HIDDEN),
        "model.layers.0.mlp.down_proj.weight": (HIDDEN, INNER),
    }
    return {name: torch.randn(shape).bfloat16() for name, shape in shapes.items()}


NAMES = [
    "token_embd.weight",
    "output_norm.weight",
    "blk.0.attn_q.weight",
    "blk.0.attn_k.weight",
    "blk.0.ffn_down.weight",
]


def test_the_weights_are_the_same_to_the_bit(tmp_path: Path) -> None:
    model = weights()
    save_file(model, tmp_path / "model.safetensors")
    base = make_base(tmp_path / "base.gguf", NAMES)
    found = gguf.GGUFReader(write_gguf(tmp_path, base, tmp_path / "new.gguf"))
    assert found.fields["general.name"].contents() == "Base"
    assert found.fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    assert found.fields["tokenizer.chat_template"].contents() == BARE_TEMPLATE
    by_name = {one.name: one for one in found.tensors}
    assert set(by_name) == set(NAMES)

    def read(name: str) -> np.ndarray:
        one = by_name[name]
        return gguf.quants.dequantize(one.data, one.tensor_type)

    down = model["model.layers.0.mlp.down_proj.weight"].float().numpy()
    assert (read("blk.0.ffn_down.weight") == down).all()
    key = model["model.layers.0.self_attn.k_proj.weight"].float().numpy()
    assert (read("blk.0.attn_k.weight") == permuted(key, KV_HEADS)).all()
    assert by_name["output_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    assert by_name["token_embd.weight"].tensor_type == gguf.GGMLQuantizationType.BF16


@pytest.mark.parametrize(
    ("names", "reason"), [(NAMES[:-1], "1 tensors are not those"), ([*NAMES, "x"], "1 tensors")]
)
def test_weights_of_another_model_are_refused(
    tmp_path: Path, names: list[str], reason: str
) -> None:
    save_file(weights(), tmp_path / "model.safetensors")
    base = make_base(tmp_path / "base.gguf", names)
    with pytest.raises(ValueError, match=reason):
        write_gguf(tmp_path, base, tmp_path / "new.gguf")
    assert not (tmp_path / "new.gguf").exists()
