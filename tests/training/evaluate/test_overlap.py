import pytest

from training.evaluate.overlap import bleu, rouge


def test_rouge_by_hand():
    (score,) = rouge(["the poster cannot sleep"], ["the poster says they cannot sleep well"])
    # 4 words of 4 and of 7; pairs "the poster", "cannot sleep" of 3 and of 6
    assert score.rouge_1 == pytest.approx(2 * 1 * (4 / 7) / (1 + 4 / 7))
    assert score.rouge_2 == pytest.approx(2 * (2 / 3) * (2 / 6) / (2 / 3 + 2 / 6))
    assert score.rouge_l == pytest.approx(score.rouge_1)


def test_rouge_l_wants_the_order():
    (score,) = rouge(["sleep cannot poster the"], ["the poster cannot sleep"])
    assert (score.rouge_1, score.rouge_l) == (1.0, pytest.approx(0.25))


def test_nothing_said_is_no_overlap():
    (score,) = rouge([""], ["the poster cannot sleep"])
    assert (score.rouge_1, score.rouge_2, score.rouge_l) == (0, 0, 0)


def test_rouge_wants_a_reference_for_each():
    with pytest.raises(ValueError, match="argument"):
        rouge(["one", "two"], ["one"])


def test_bleu_by_hand():
    # precisions 4/5, 3/4, 2/3, 1/2; equal lengths
    score = bleu(["the poster cannot sleep now"], ["the poster cannot sleep well"])
    assert score.score == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert "tok:13a" in score.signature
    assert "nrefs:1" in score.signature


def test_bleu_is_of_the_corpus_and_not_a_mean():
    texts = ["the poster cannot sleep now", "it says so"]
    references = ["the poster cannot sleep well", "it is all about the house"]
    mean = sum(bleu([t], [r]).score for t, r in zip(texts, references, strict=True)) / 2
    assert bleu(texts, references).score != pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize(("texts", "references"), [([], []), (["a"], ["a", "b"])])
def test_bleu_refuses_what_it_is_not_defined_on(texts, references):
    with pytest.raises(ValueError, match="BLEU needs"):
        bleu(texts, references)
