"""The embedded model's adapter: found, whole, and merged as PEFT merges it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import service.adapter
from service.adapter import (
    CHECKSUMS_FILE,
    CONFIG_FILE,
    FILES,
    WEIGHTS_FILE,
    Adapter,
    fingerprint,
    shipped_adapter,
)
from service.errors import ModelError
from tests.adapters import write_adapter, write_checksums, write_manifest


def tiny_model():
    torch = pytest.importorskip("torch")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=48,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    )


def peft_adapter(directory: Path, **settings: object) -> object:
    """An adapter that PEFT makes, fills with random numbers and saves; the model PEFT merges."""
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(task_type="CAUSAL_LM", **settings)
    model = get_peft_model(tiny_model(), config)
    generator = torch.Generator().manual_seed(11)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    model.save_pretrained(directory, save_embedding_layers=False)
    write_manifest(directory)
    write_checksums(directory)
    return model.merge_and_unload()


class TestMerge:
    @pytest.mark.parametrize(
        "settings",
        [
            {"r": 3, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]},
            {"r": 3, "lora_alpha": 6, "target_modules": "all-linear", "use_rslora": True},
            {
                "r": 2,
                "lora_alpha": 2,
                "target_modules": "all-linear",
                "rank_pattern": {"down_proj": 5, "layers.1.self_attn.q_proj": 7},
                "alpha_pattern": {"down_proj": 10, "layers.1.self_attn.q_proj": 3},
            },
            {"r": 3, "lora_alpha": 3, "target_modules": ["embed_tokens", "o_proj"]},
            {
                "r": 3,
                "lora_alpha": 3,
                "target_modules": ["up_proj"],
                "modules_to_save": ["norm", "input_layernorm"],
            },
        ],
        ids=["attention", "root-of-rank", "patterns", "embedding", "norms"],
    )
    def test_is_pefts(self, tmp_path, settings):
        torch = pytest.importorskip("torch")
        expected = peft_adapter(tmp_path, **settings)
        model = tiny_model()
        untouched = {name: value.clone() for name, value in model.named_parameters()}
        Adapter.load(tmp_path).merge_into(model)
        values = dict(model.named_parameters())
        wanted = dict(expected.named_parameters())
        assert values.keys() == wanted.keys()
        for name, value in values.items():
            torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-5)
        assert any(not torch.equal(value, untouched[name]) for name, value in values.items())

    @pytest.mark.parametrize(
        ("tensors", "why"),
        [
            ({"layers.0.mlp.gone.lora_A": (4, 16), "layers.0.mlp.gone.lora_B": (24, 4)}, "no laye"),
            (
                {"layers.0.mlp.up_proj.lora_A": (4, 16), "layers.0.mlp.up_proj.lora_B": (16, 4)},
                "sh",
            ),
            ({"layers.0.mlp.up_proj.lora_A": (4, 16)}, "do not go together"),
            (
                {"layers.0.mlp.up_proj.lora_A": (4, 16), "layers.0.mlp.up_proj.lora_B": (24, 3)},
                "do not go together",
            ),
            ({"layers.0.input_layernorm": (16,)}, "nothing is known to do"),
            ({"layers.0.mlp.up_proj.lora_magnitude_vector": (24,)}, "nothing is known to do"),
        ],
    )
    def test_of_another_models_adapter_is_refused(self, tmp_path, tensors, why):
        torch = pytest.importorskip("torch")
        made = {
            f"base_model.model.model.{name}.weight": torch.ones(shape)
            for name, shape in tensors.items()
        }
        adapter = Adapter.load(write_adapter(tmp_path / "adapter", made))
        with pytest.raises(ModelError, match=rf"does not fit.*{why}.*embedded-base"):
            adapter.merge_into(tiny_model())


class TestLoad:
    @pytest.mark.parametrize("name", [*FILES, CHECKSUMS_FILE])
    def test_a_missing_file_is_named(self, tmp_path, name):
        directory = write_adapter(tmp_path / "adapter")
        (directory / name).unlink()
        with pytest.raises(ModelError, match=rf"damaged \({name}.*is missing.*train-embedded"):
            Adapter.load(directory)

    @pytest.mark.parametrize("name", FILES)
    def test_a_changed_file_is_named(self, tmp_path, name):
        directory = write_adapter(tmp_path / "adapter")
        content = bytearray((directory / name).read_bytes())
        content[-1] ^= 1
        (directory / name).write_bytes(content)
        with pytest.raises(ModelError, match=rf"damaged \({name} is not what"):
            Adapter.load(directory)

    def test_a_file_without_a_checksum_is_named(self, tmp_path):
        directory = write_adapter(tmp_path / "adapter")
        lines = (directory / CHECKSUMS_FILE).read_text().splitlines(keepends=True)
        (directory / CHECKSUMS_FILE).write_text("".join(lines[1:]))
        with pytest.raises(ModelError, match=f"does not name {CONFIG_FILE}"):
            Adapter.load(directory)

    def test_checksums_may_be_of_binary_files_and_of_more(self, tmp_path):
        directory = write_adapter(tmp_path / "adapter")
        text = (directory / CHECKSUMS_FILE).read_text().replace("  ", " *")
        (directory / CHECKSUMS_FILE).write_text(f"{text}{'0' * 64}  README.md\n")
        assert Adapter.load(directory).manifest.notes == "Written for a test."

    @pytest.mark.parametrize(
        ("settings", "field"),
        [
            ({"peft_type": "IA3"}, "peft_type"),
            ({"r": 0}, "r"),
            ({"bias": "all"}, "bias"),
            ({"use_dora": True}, "use_dora"),
            ({"fan_in_fan_out": True}, "fan_in_fan_out"),
            ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ],
    )
    def test_another_kind_of_adapter_is_refused(self, tmp_path, settings, field):
        directory = write_adapter(tmp_path / "adapter", **settings)
        with pytest.raises(ModelError, match=rf"cannot be merged|can be merged \({field}"):
            Adapter.load(directory)

    def test_settings_that_do_not_matter_may_be_there(self, tmp_path):
        directory = write_adapter(tmp_path / "adapter", use_dora=False, revision=None, invented=1)
        assert Adapter.load(directory).config.r == 4


class TestShipped:
    @pytest.fixture
    def root(self, tmp_path, monkeypatch):
        monkeypatch.setattr(service.adapter, "__file__", str(tmp_path / "service" / "adapter.py"))
        return tmp_path

    @pytest.mark.parametrize("folder", ["models", "mentalllama_models"])
    def test_of_a_checkout_and_of_a_wheel(self, root, folder):
        directory = write_adapter(root / folder / "one")
        assert shipped_adapter("one") == directory
        assert shipped_adapter("another") is None

    def test_what_is_left_of_one_is_not_none(self, root):
        (root / "models" / "one").mkdir(parents=True)
        found = shipped_adapter("one")
        assert found is not None
        with pytest.raises(ModelError, match="damaged"):
            fingerprint(found)


def test_weights_are_read_from_safetensors_only(tmp_path):
    directory = write_adapter(tmp_path / "adapter")
    (directory / WEIGHTS_FILE).rename(directory / "adapter_model.bin")
    with pytest.raises(ModelError, match=WEIGHTS_FILE):
        Adapter.load(directory)


def test_the_adapter_in_the_repository_is_whole():
    """Where there is one: a checkout can be without."""
    directory = shipped_adapter("mentalllama-embedded")
    if directory is not None:
        adapter = Adapter.load(directory)
        config = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
        assert adapter.config.r == config["r"]
        assert (directory / WEIGHTS_FILE).stat().st_size <= 40 * 10**6
