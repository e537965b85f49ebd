"""Weights in and out: what is loaded, refused, averaged; adapters; the finished directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.analysis.manifest import PromptStyle, Training, load_manifest
from tests.lazy import safetensors, torch
from tests.training.sft.tiny import base, load, recipe, tokenizer
from training.errors import ModelFilesError, RecipeError
from training.sft.monitor import operations_per_token
from training.sft.weights import (
    average,
    finish,
    freeze,
    load_model,
    load_tokenizer,
    read_weights,
    write_weights,
)

LORA = ("method.kind=lora", "method.rank=3", "method.alpha=6")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base(tmp_path_factory.mktemp("weights") / "base")


def loaded(folder: Path, *overrides: str) -> Any:
    return load_model(recipe(f"model.base={folder}", "output=out", *overrides), str(folder))


def logits(model: Any) -> Any:
    return model(torch.tensor([[5, 300, 17, 80]])).logits


def test_all_weights_are_trained_in_full(folder) -> None:
    model = loaded(folder)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(model), logits(load(folder)))


def test_the_first_layers_and_the_embeddings_can_be_left_as_they_are(folder) -> None:
    model = loaded(folder, "method.frozen_layers=1")
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {
        name
        for name, _ in model.named_parameters()
        if name.startswith("model.layers.0.") or "embed_tokens" in name
    }


def test_some_layer_is_left_to_train(folder) -> None:
    with pytest.raises(RecipeError, match=r"`method.frozen_layers` is 2 and the model has 2"):
        loaded(folder, "method.frozen_layers=2")


def test_an_architecture_that_keeps_its_layers_elsewhere() -> None:
    """It is trained and measured as before; only freezing is refused."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=32))
    model.requires_grad_(False)
    layers, head = operations_per_token(model)
    assert layers >= 0
    assert head == 4 * 8 * 32
    freeze(model, 0)
    with pytest.raises(RecipeError, match=r"`method.frozen_layers`: where this architecture"):
        freeze(model, 1)


def test_weights_and_attention_are_the_recipe_s(folder) -> None:
    model = loaded(folder, "precision.weights=bfloat16", "model.attention=grouped")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.config._attn_implementation == "grouped"


def test_a_new_adapter_changes_nothing_and_is_all_that_is_trained(folder) -> None:
    model = loaded(folder, *LORA)
    torch.testing.assert_close(logits(model), logits(load(folder)))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if "lora_" in name}
    layers = {name.split(".lora_")[0].rpartition(".")[2] for name in trained}
    assert layers == {f"{kind}_proj" for kind in ("q", "k", "v", "o", "gate", "up", "down")}
    assert not any(
        float(p.detach().abs().sum()) for n, p in model.named_parameters() if "lora_B" in n
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    assert not torch.allclose(logits(model), logits(load(folder)))


def test_an_adapter_is_put_where_the_recipe_says(folder) -> None:
    model = loaded(folder, *LORA, "method.targets=[q_proj, v_proj]")
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == {"q_proj", "v_proj"}
    config = model.peft_config["default"]
    assert (config.r, config.lora_alpha) == (3, 6)


def test_pickled_weights_are_refused(folder, tmp_path) -> None:
    copy = base(tmp_path / "base")
    torch.save(safetensors.load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelFilesError, match="must be safetensors"):
        loaded(copy)


def test_torn_weights_are_refused(tmp_path) -> None:
    copy = base(tmp_path / "base")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelFilesError, match="cannot be loaded"):
        loaded(copy)


def test_weights_that_are_not_whole_are_refused(tmp_path) -> None:
    copy = base(tmp_path / "base")
    tensors = safetensors.load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    safetensors.save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFilesError, match=r"lacks 1 .* model.layers.1.mlp.up_proj.weight"):
        loaded(copy)


def test_tied_weights_are_whole(tmp_path) -> None:
    copy = base(tmp_path / "base", tie_word_embeddings=True)
    assert "lm_head.weight" not in safetensors.load_file(copy / "model.safetensors")
    model = loaded(copy)
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_a_tokenizer_gets_a_padding_token_where_it_has_none(tmp_path) -> None:
    own = tokenizer()
    own.pad_token = None
    own.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).pad_token == own.eos_token
    tokenizer().save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).pad_token == "<pad>"


def test_a_tokenizer_without_an_end_is_refused(tmp_path) -> None:
    own = tokenizer()
    own.eos_token = None
    own.save_pretrained(tmp_path)
    with pytest.raises(ModelFilesError, match="no end-of-sequence token"):
        load_tokenizer(str(tmp_path))


def test_a_directory_without_a_tokenizer_is_refused(tmp_path) -> None:
    with pytest.raises(ModelFilesError, match="needs the tokenizer's files"):
        load_tokenizer(str(tmp_path))


def checkpoint(folder: Path, dtype: str = "float32", **tensors: list[float]) -> Path:
    folder.mkdir()
    made = {
        name: torch.tensor(values, dtype=getattr(torch, dtype)) for name, values in tensors.items()
    }
    safetensors.save_file(made, folder / "model.safetensors")
    return folder


def test_an_average_of_small_numbers_is_taken_in_float32(tmp_path) -> None:
    folders = [
        checkpoint(tmp_path / str(number), "bfloat16", a=[1.0 + number / 128])
        for number in range(2)
    ]
    assert average(folders)["a"].tolist() == [1.0 + 1 / 256]  # between two bfloat16 numbers


def test_checkpoints_of_other_tensors_are_not_averaged(tmp_path) -> None:
    folders = [checkpoint(tmp_path / "1", a=[1.0]), checkpoint(tmp_path / "2", b=[1.0])]
    with pytest.raises(ModelFilesError, match="does not hold the tensors"):
        average(folders)


def test_a_folder_without_safetensors_is_refused(tmp_path) -> None:
    with pytest.raises(ModelFilesError, match="holds no safetensors"):
        read_weights(tmp_path)


def test_averaged_weights_take_the_place_of_all_others_in_their_number_format(tmp_path) -> None:
    like = checkpoint(tmp_path / "like", "bfloat16", a=[1.0], b=[2.0])
    target = tmp_path / "target"
    target.mkdir()
    for number, name in enumerate("ab", 1):
        part = {name: torch.tensor([9.0])}
        safetensors.save_file(part, target / f"model-0000{number}-of-00002.safetensors")
    (target / "model.safetensors.index.json").write_text("{}")
    write_weights({"a": torch.tensor([1.5]), "b": torch.tensor([2.5])}, target, like)
    assert [path.name for path in target.iterdir()] == ["model.safetensors"]
    written = safetensors.load_file(target / "model.safetensors")
    assert {name: tensor.item() for name, tensor in written.items()} == {"a": 1.5, "b": 2.5}
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}


def test_averaged_adapters_are_adapters(tmp_path) -> None:
    like = checkpoint(tmp_path / "like", a=[1.0])
    (like / "adapter_config.json").write_text("{}")
    (tmp_path / "target").mkdir()
    write_weights({"a": torch.tensor([3.0])}, tmp_path / "target", like)
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["adapter_model.safetensors"]


@pytest.mark.parametrize("style", PromptStyle)
def test_a_finished_directory_has_a_manifest_and_no_path(folder, tmp_path, style) -> None:
    done = base(tmp_path / "done")
    values = json.loads((done / "config.json").read_text())
    (done / "config.json").write_text(json.dumps({**values, "_name_or_path": str(folder)}))
    made = recipe(f"model.base={folder}", f"model.prompt_style={style}", f"output={tmp_path}")
    finish(done, made, str(folder), Training(recipe=made.name, seed=7, questions={"stress": 3}))
    manifest = load_manifest(done)
    assert manifest is not None
    assert manifest.prompt_style is style
    assert manifest.base_model is None
    assert manifest.training is not None
    assert manifest.training.questions == {"stress": 3}
    for path in done.glob("*.json"):
        assert str(tmp_path) not in path.read_text()
    assert json.loads((done / "config.json").read_text())["use_cache"] is True


def test_a_base_on_a_hub_is_named(tmp_path) -> None:
    made = recipe("model.base=some/model", f"output={tmp_path}")
    finish(tmp_path, made, "some/model", Training(recipe=made.name, seed=1))
    manifest = load_manifest(tmp_path)
    assert manifest is not None
    assert manifest.base_model == "some/model"
