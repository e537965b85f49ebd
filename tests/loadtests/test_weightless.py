"""The model without weights: a tokenizer that is a smaller one, and what it says about itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadtests.absent import AbsentError
from loadtests.generate import Generate
from loadtests.needed import Shape
from loadtests.paper import LLAMA_2_7B
from loadtests.weightless import SHAPES, Size, cut, write_model
from service.analysis.manifest import PromptStyle, load_manifest

TEXT = "I could not sleep, and nobody asked why I could not sleep."
SMALL = Shape(layers=1, hidden=64, inner=128, heads=2, kv_heads=1, head=32, vocabulary=270)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A byte-level tokenizer of more tokens than are wanted, trained on one line."""
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        [TEXT] * 4, vocab_size=320, min_frequency=1, special_tokens=["<end>"]
    )
    folder = tmp_path / "source"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"eos_token_id": 0}))
    return folder


def loaded(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_the_tokenizer_is_cut_to_the_vocabulary_and_still_writes_every_text(
    source: Path, tmp_path: Path
) -> None:
    write_model(tmp_path / "model", source, SMALL, "small")
    before, after = json.loads((source / "tokenizer.json").read_text()), tmp_path / "model"
    assert len(before["model"]["vocab"]) > SMALL.vocabulary
    tokenizer = loaded(after)
    assert len(tokenizer) == SMALL.vocabulary
    tokens = tokenizer(TEXT)["input_ids"]
    assert max(tokens) < SMALL.vocabulary
    assert any(token > 256 for token in tokens)  # merges are there, and not bytes alone
    assert tokenizer.decode(tokens) == TEXT
    assert tokenizer.eos_token_id == 0


def test_merges_as_older_tokenizers_write_them_are_cut_as_well() -> None:
    model = {"vocab": {"a": 0, "b": 1, "ab": 2, "aba": 3}, "merges": ["a b", "ab a"]}
    added = [{"id": 0, "content": "a"}, {"id": 9, "content": "x"}]
    found = cut({"model": model, "added_tokens": added}, 3)
    assert found["model"] == {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
    assert found["added_tokens"] == added[:1]


def test_the_configuration_has_the_shape_that_is_counted_with(source: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model", source, SMALL, "small")
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert Shape.of(config) == SMALL
    assert (config["architectures"], config["dtype"]) == (["LlamaForCausalLM"], "bfloat16")
    # 6.74 billion weights with the embedding, as the paper says.
    counted = LLAMA_2_7B.layer_weights + 2 * LLAMA_2_7B.head_weights
    assert counted == pytest.approx(6.74e9, rel=0.001)


def test_it_is_asked_bare_questions_and_says_that_its_labels_mean_nothing(
    source: Path, tmp_path: Path
) -> None:
    write_model(tmp_path / "model", source, SMALL, "small")
    manifest = load_manifest(tmp_path / "model")
    assert manifest is not None
    assert manifest.prompt_style is PromptStyle.BARE
    assert "mean nothing" in manifest.notes
    assert manifest.name == "small-without-weights"


def test_the_tiny_one_is_a_hundredth_of_the_embedded_one_without_its_head() -> None:
    tiny = SHAPES[Size.TINY]
    assert tiny.layer_weights < 106_000_000 / 100


def test_what_needs_weights_is_absent(source: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model", source, SMALL, "small")
    with pytest.raises(AbsentError, match="no weights"):
        Generate(tmp_path / "model", "bfloat16")
