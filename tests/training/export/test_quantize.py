"""Weights in fewer bits: how far they are rounded, and the two ways to get there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lazy import safetensors, torch
from tests.training.export.trained import make_base
from training.errors import ModelFilesError, ResourcesError, UsageError
from training.export.merge import load_model, quiet
from training.export.quantize import (
    Quantization,
    group_size,
    linear_layers,
    quantize_gptq,
    quantize_nearest,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def base(request, tmp_path_factory) -> Path:
    return make_base(tmp_path_factory.mktemp("model") / "base", tied=request.param)


@pytest.mark.parametrize("quantization", [Quantization.INT8, Quantization.INT4])
def test_every_weight_is_rounded_to_the_nearest_step(base, tmp_path, quantization):
    model = load_model(base)
    quantize_nearest(model, tmp_path, quantization)
    with quiet():
        rounded = load_model(tmp_path)
        rounded(torch.arange(2, 20)[None])  # compressed weights are unpacked on first use
    before, after = load_model(base).state_dict(), rounded.state_dict()
    layers = linear_layers(model)
    assert len(layers) == 14
    for name in layers:
        weight, other = before[f"{name}.weight"], after[f"{name}.weight"].float()
        steps = 127.5 if quantization is Quantization.INT8 else 7.5
        rows = weight if quantization is Quantization.INT8 else weight.unflatten(1, (-1, 128))
        scale = rows.abs().amax(dim=-1, keepdim=True) / steps
        # Half a step, and what bfloat16 takes off scale and product.
        error = (weight - other).reshape(rows.shape).abs()
        assert bool((error <= scale * 0.5 + rows.abs() * 0.01 + 1e-6).all()), name
        assert bool((weight != other).any())
    head = after["lm_head.weight"].float()
    assert torch.equal(head, before["lm_head.weight"].bfloat16().float())


def test_int8_is_the_form_that_vllm_serves(base, tmp_path):
    quantize_nearest(load_model(base), tmp_path, Quantization.INT8)
    config = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    group = config["config_groups"]["group_0"]
    assert (config["quant_method"], config["format"]) == ("compressed-tensors", "int-quantized")
    assert config["quantization_status"] == "compressed"
    assert config["ignore"] == ["lm_head"]
    assert group["targets"] == ["Linear"]
    weights, inputs = group["weights"], group["input_activations"]
    assert (weights["num_bits"], weights["strategy"], weights["dynamic"]) == (8, "channel", False)
    assert (inputs["num_bits"], inputs["strategy"], inputs["dynamic"]) == (8, "token", True)
    tensors = safetensors.load_file(tmp_path / "model.safetensors")
    stem = "model.layers.0.mlp.up_proj"
    assert tensors[f"{stem}.weight"].dtype == torch.int8
    assert tensors[f"{stem}.weight_scale"].shape == (256, 1)


def test_int4_is_the_form_that_vllm_serves(base, tmp_path):
    quantize_nearest(load_model(base), tmp_path, Quantization.INT4)
    config = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    group = config["config_groups"]["group_0"]
    assert config["format"] == "pack-quantized"
    assert group["input_activations"] is None
    assert (group["weights"]["num_bits"], group["weights"]["group_size"]) == (4, 128)
    tensors = safetensors.load_file(tmp_path / "model.safetensors")
    stem = "model.layers.0.mlp.up_proj"
    assert tensors[f"{stem}.weight_packed"].shape == (256, 128 // 8)
    assert tensors[f"{stem}.weight_scale"].shape == (256, 1)
    assert list(tensors[f"{stem}.weight_shape"]) == [256, 128]


def test_tied_weights_are_written_once(base, tmp_path):
    model = load_model(base)
    quantize_nearest(model, tmp_path, Quantization.INT8)
    names = set(safetensors.load_file(tmp_path / "model.safetensors"))
    assert ("lm_head.weight" in names) is not model.config.tie_word_embeddings


def test_groups_fit_every_layer(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    def model(hidden: int, inner: int):
        sizes = {"hidden_size": hidden, "intermediate_size": inner, "vocab_size": 64}
        return LlamaForCausalLM(
            LlamaConfig(num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=4, **sizes)
        )

    assert group_size(model(128, 256)) == 128
    assert group_size(model(192, 256)) == 64
    assert group_size(model(96, 128)) == 32
    with pytest.raises(UsageError, match="Take int8"):
        group_size(model(128, 200))


def program(path: Path, body: str) -> Path:
    """A stand-in for another environment's interpreter."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def gptq(folder: Path, python: Path) -> None:
    (folder / "out").mkdir(exist_ok=True)
    quantize_gptq(
        folder,
        folder / "out",
        Quantization.INT4,
        python=python,
        texts=["A long walk."],
        group=64,
    )


def test_another_environment_gets_model_bits_texts_and_group(tmp_path):
    body = f'cp "$6" {tmp_path}/given; echo "$2|$3|$4|$5|$7" > {tmp_path}/said'
    body += '; echo {} > "$4/config.json"'
    gptq(tmp_path, program(tmp_path / "python", body))
    script, model, out, bits, group = (tmp_path / "said").read_text().strip().split("|")
    assert script.endswith("compressor.py")
    assert (model, out) == (str(tmp_path), str(tmp_path / "out"))
    assert (bits, group) == ("int4", "64")
    assert json.loads((tmp_path / "given").read_text()) == ["A long walk."]


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("exit 3", UsageError, "has no llm-compressor"),
        ("kill -9 $$", ResourcesError, "needs memory"),
        ("echo A long walk. >&2; exit 1", ModelFilesError, "exit code 1"),
        ("exit 0", ModelFilesError, "failed"),
    ],
)
def test_what_another_environment_lacks_is_said_and_no_text(tmp_path, body, error, words):
    with pytest.raises(error, match=words) as caught:
        gptq(tmp_path, program(tmp_path / "python", body))
    assert "walk" not in caught.value.message


def test_an_interpreter_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="There is no interpreter"):
        gptq(tmp_path, tmp_path / "absent")
