from pathlib import Path

import pytest

from tests.training.evaluate.tiny_models import save_encoder, save_seq2seq
from training.errors import ModelFilesError
from training.evaluate.bartscore import load_scorer, score_pairs
from training.evaluate.pretrained import Pretrained

SOURCES = ["the poster cannot sleep", "it is hard to be alone at night", "", "nobody calls"]
TARGETS = ["they miss home and the sister calls", "so", "money", "nobody asks why"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_seq2seq(tmp_path_factory.mktemp("tiny-seq2seq"))


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Pretrained:
    return load_scorer(folder, device="cpu")


def by_hand(folder: Path, source: str, target: str) -> float:
    """One pair alone, token by token: each one's log-probability after those before."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    wanted = tokenizer(target).input_ids
    before = [model.config.decoder_start_token_id]
    total = 0.0
    for token in wanted:
        with torch.no_grad():
            logits = model(
                **tokenizer(source, return_tensors="pt"), decoder_input_ids=torch.tensor([before])
            ).logits
        total += float(logits[0, -1].log_softmax(-1)[token])
        before.append(token)
    return total / len(wanted)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_it_is_the_mean_log_probability_whatever_the_batch(
    folder: Path, scorer: Pretrained, batch_size: int
):
    scores = score_pairs(scorer, SOURCES, TARGETS, batch_size=batch_size)
    expected = [by_hand(folder, s, t) for s, t in zip(SOURCES, TARGETS, strict=True)]
    assert scores == pytest.approx(expected, abs=1e-4)
    assert all(score < 0 for score in scores)


def test_the_source_matters(scorer: Pretrained):
    one, other = score_pairs(scorer, ["money", "the sister calls"], ["so tired", "so tired"])
    assert one != pytest.approx(other, abs=1e-4)


def test_long_texts_are_cut(scorer: Pretrained):
    long, longer = "work " * 100, "work " * 200
    assert score_pairs(scorer, [long], [long]) == score_pairs(scorer, [longer], [longer])


def test_an_encoder_is_no_seq2seq_model(tmp_path: Path):
    with pytest.raises(ModelFilesError, match="could not be loaded"):
        load_scorer(save_encoder(tmp_path))
