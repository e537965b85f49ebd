"""Overlap of words between explanations and reference explanations: ROUGE and BLEU.

Pairs of texts go in; `rouge` gives figures a pair, `bleu` one figure for all of them, as each is
defined. Both compare wordings and not meanings: a good explanation in other words scores low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rouge:
    """F-measures of one pair, from 0 to 1.

    Attributes:
        rouge_1: of single words.
        rouge_2: of pairs of neighbouring words.
        rouge_l: of the longest common subsequence of words.
    """

    rouge_1: float
    rouge_2: float
    rouge_l: float


@dataclass(frozen=True, slots=True)
class Bleu:
    """BLEU of a group of pairs.

    Attributes:
        score: from 0 to 1 (sacrebleu's own is a hundred times it).
        signature: sacrebleu's, which says how it was computed.
    """

    score: float
    signature: str


def rouge(texts: Sequence[str], references: Sequence[str]) -> list[Rouge]:
    """Compute ROUGE-1, ROUGE-2 and ROUGE-L (Lin, 2004, aclanthology.org/W04-1013) of each pair.

    With the package `rouge-score`, without stemming: its tokens are runs of ASCII letters and
    digits in lower case.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    scores = []
    for text, reference in zip(texts, references, strict=True):
        score = scorer.score(target=reference, prediction=text)
        scores.append(
            Rouge(*(float(score[name].fmeasure) for name in ("rouge1", "rouge2", "rougeL")))
        )
    return scores


def bleu(texts: Sequence[str], references: Sequence[str]) -> Bleu:
    """Compute corpus BLEU (Papineni et al., 2002, aclanthology.org/P02-1040) of all pairs.

    With the package `sacrebleu` and its own settings (arXiv 1804.08771), one reference a text.

    Raises:
        ValueError: there is no pair.
    """
    from sacrebleu.metrics.bleu import BLEU

    if not texts or len(texts) != len(references):
        raise ValueError("BLEU needs at least one text, and a reference for each")
    metric = BLEU()
    score = metric.corpus_score(list(texts), [list(references)])
    return Bleu(score.score / 100, str(metric.get_signature()))
