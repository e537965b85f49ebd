import math
from pathlib import Path

import pytest

from tests.training.evaluate.tiny_models import save_encoder
from training.errors import ModelFilesError, UsageError
from training.evaluate.bertscore import Encoder, load_encoder, score_pairs

CANDIDATES = [
    "the poster says they cannot sleep",
    "it is hard",
    "nobody calls",
    "so tired of work and money and the quiet week alone at night",
]
REFERENCES = [
    "they cannot sleep and miss home",
    "the sister asks why it is so hard to be alone",
    "nobody calls",
    "money",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("tiny-encoder"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return load_encoder(folder, device="cpu")


def by_hand(folder: Path, candidate: str, reference: str, layer: int = -1) -> list[float]:
    """The formula of arXiv 1904.09675, one pair alone, token by token."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def vectors(text: str) -> list[list[float]]:
        with torch.no_grad():
            output = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        return output.hidden_states[layer][0, 1:-1].tolist()  # without <s> and </s>

    def cosine(a: list[float], b: list[float]) -> float:
        dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))

    said, given = vectors(candidate), vectors(reference)
    precision = sum(max(cosine(a, b) for b in given) for a in said) / len(said)
    recall = sum(max(cosine(a, b) for a in said) for b in given) / len(given)
    return [precision, recall, 2 * precision * recall / (precision + recall)]


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_it_is_the_formula_whatever_the_batch(folder: Path, encoder: Encoder, batch_size: int):
    scores = score_pairs(encoder, CANDIDATES, REFERENCES, batch_size=batch_size)
    for score, candidate, reference in zip(scores, CANDIDATES, REFERENCES, strict=True):
        expected = by_hand(folder, candidate, reference)
        assert [score.precision, score.recall, score.f1] == pytest.approx(expected, abs=1e-5)


def test_the_layer_is_the_one_that_was_asked_for(folder: Path):
    (score,) = score_pairs(load_encoder(folder, layer=0, device="cpu"), ["it is"], ["so tired"])
    assert score.precision == pytest.approx(by_hand(folder, "it is", "so tired", 0)[0], abs=1e-5)
    assert score.precision != pytest.approx(by_hand(folder, "it is", "so tired")[0], abs=1e-3)


def test_nothing_said_scores_nothing(encoder: Encoder):
    pairs = (["", "it is hard", ""], ["so tired", "", ""])
    for score in score_pairs(encoder, *pairs):
        assert (score.precision, score.recall, score.f1) == (0, 0, 0)
    assert score_pairs(encoder, [], []) == []


@pytest.mark.parametrize("said_limit", [64, None])
def test_long_texts_are_cut_to_what_the_encoder_takes(tmp_path: Path, said_limit: int | None):
    encoder = load_encoder(save_encoder(tmp_path, model_max_length=said_limit), device="cpu")
    long = "work " * 200
    (score,) = score_pairs(encoder, [long], [long])
    assert encoder.pretrained.max_tokens == (said_limit or 62)
    assert score.f1 == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_that_is_not_there(folder: Path, layer: int):
    with pytest.raises(UsageError, match=f"layers 0 to 2, not {layer}"):
        load_encoder(folder, layer=layer, device="cpu")


def test_a_directory_without_a_model(tmp_path: Path):
    with pytest.raises(ModelFilesError, match="could not be loaded") as error:
        load_encoder(tmp_path)
    assert str(tmp_path) not in error.value.message


def test_pickled_weights_are_refused(tmp_path: Path):
    import torch
    from safetensors.torch import load_file

    weights = save_encoder(tmp_path) / "model.safetensors"
    torch.save(load_file(weights), tmp_path / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ModelFilesError, match="safetensors"):
        load_encoder(tmp_path)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    path = save_encoder(tmp_path) / "model.safetensors"
    weights = load_file(path)
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelFilesError, match="1 weights are missing"):
        load_encoder(tmp_path)
