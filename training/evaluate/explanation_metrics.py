"""The metrics of explanations: what each says of one explanation.

A `Sample` is one explanation with its post and, where there is one, its reference. Every metric
that is a mean says of each sample a numerator and a denominator, its `Term`; a figure is the
quotient of their sums. So a sample that a metric says nothing of (no reference, no quote) has the
term (0, 0), and `training.evaluate.explanations` can resample all metrics alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from training.evaluate import bartscore as bart
from training.evaluate import bertscore as bert
from training.evaluate.faults import Faults, find_faults
from training.evaluate.grounding import ground
from training.evaluate.overlap import rouge
from training.evaluate.pretrained import Pretrained

OnScored = Callable[[str, int, int], None]
"""Called as work goes on, with what is being scored, how many of it are done, and of how many."""

DEFINITIONS: Mapping[str, str] = {
    "rouge_1": "ROUGE-1 F-measure against the reference explanation (rouge-score, no stemming); "
    "mean.",
    "rouge_2": "ROUGE-2 F-measure, likewise.",
    "rouge_l": "ROUGE-L F-measure, likewise.",
    "bleu": "Corpus BLEU against the reference explanations, from 0 to 1.",
    "bertscore_precision": "BERTScore precision (arXiv 1904.09675) against the reference "
    "explanation, without idf and rescaling; mean",
    "bertscore_recall": "BERTScore recall, likewise",
    "bertscore_f1": "BERTScore F1, likewise",
    "bartscore_precision": "BARTScore (arXiv 2106.11520) of the explanation given the reference "
    "explanation: mean natural-log probability of a token; an empty explanation is not counted",
    "bartscore_recall": "BARTScore of the reference explanation given the explanation: the "
    "direction that the MentalLLaMA paper takes",
    "quotes_found": "Share of the quotes in the explanations that stand in the post, whole words, "
    "whatever the case and the kind of marks.",
    "with_quote": "Share of the explanations that quote anything.",
    "quotes": "Quotes an explanation; mean.",
    "consistency": "Probability of the explained label when the model reads the explanation alone; "
    "mean.",
    "consistent": "Share of the explanations whose consistency is at least 0.5.",
    "classified": "Share of the explanations in which a classifier reads their label: TF-IDF and "
    "logistic regression, learned for each question from reference explanations of other posts. "
    "The paper's consistency, there with MentalBERT.",
    "explains_reference": "Share of the explanations whose label is the reference's.",
    "words": "Words an explanation, by white space; mean.",
    "repeats_or_cut_off": "Share of the explanations that repeat themselves or were ended by the "
    "token limit.",
    "repeats": "Share that repeat themselves: more than 0.2 of the 4-grams are repetitions, or a "
    "sentence of at least 4 words is said twice.",
    "cut_off": "Share that were ended by the token limit, or for saying the same on and on.",
    "empty": "Share without a word.",
    "prompt_talk": "Share that speak of examples of a prompt, or repeat the query's wording.",
    "copies_post": "Share in which one run of at least 8 of the post's words is more than half of "
    "the text.",
    "not_english": "Share that are not English, or garbled, by their letters and function words.",
    "clinical_words": "Share that hold words of clinical reports which the post does not.",
    "repeated_4grams": "Share of a text's 4-grams that are repetitions (arXiv 1908.04319); mean.",
    "copied": "Share of a text's words in the longest run that stands in the post too; mean.",
}
"""Metric id to what it is; the order is that of the reports."""

NOTES = (
    "Explanations are measured without the answer sentence before them.",
    "Reference explanations were written by ChatGPT. ROUGE, BLEU, BERTScore and BARTScore say how "
    "like them an explanation is, not how good; where another label than the reference's is "
    "explained, they are low.",
    "Consistency is the model's own reading of its explanation, which its training may have taught "
    "it. `classified` is the reading of a classifier that knows only reference explanations, as is "
    "the paper's consistency.",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One explanation.

    Attributes:
        set: id of the data set.
        post: the post's text.
        post_key: groups equal posts.
        text: the explanation; may be empty.
        reference: the reference's explanation, or None.
        finish_reason: `length` where the token limit ended the generation.
        right: whether its label is the reference's.
        consistency: probability of its label when the explanation alone is read; None if not read.
    """

    set: str
    post: str
    post_key: str
    text: str
    reference: str | None
    finish_reason: str
    right: bool
    consistency: float | None


Term = tuple[float, float]
"""What a sample adds to a figure's numerator and denominator."""

Terms = dict[str, list[Term]]
"""Metric id to its terms, one a sample; metrics that were not measured are not there."""


@dataclass(frozen=True, slots=True)
class Models:
    """The models of the scores, or the reason why there is none.

    Attributes:
        encoder: that of BERTScore.
        scorer: that of BARTScore.
    """

    encoder: bert.Encoder | str
    scorer: Pretrained | str


def measure_samples(
    samples: Sequence[Sample], models: Models, *, batch_size: int, on_scored: OnScored | None
) -> Terms:
    """Compute every metric that is a mean, on every sample.

    Args:
        samples: at least one.
        models: for BERTScore and BARTScore.
        batch_size: pairs that these score at a time.
        on_scored: called as these go on.
    """
    terms = _own_terms(samples)
    places = [place for place, sample in enumerate(samples) if sample.reference]
    pairs = _Pairs(
        [samples[place].text for place in places],
        [samples[place].reference or "" for place in places],
    )
    columns = _overlap(pairs)
    if isinstance(models.encoder, bert.Encoder):
        columns |= _bertscore(pairs, models.encoder, batch_size, on_scored)
    if isinstance(models.scorer, Pretrained):
        columns |= _bartscore(pairs, models.scorer, batch_size, on_scored)
    for metric, column in columns.items():
        terms[metric] = [(0.0, 0.0)] * len(samples)
        for place, value in zip(places, column, strict=True):
            if value is not None:
                terms[metric][place] = (value, 1.0)
    return terms


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Explanations that have a reference explanation, and these."""

    texts: list[str]
    references: list[str]


_Columns = dict[str, list[float | None]]
"""Metric id to its value on each pair; None where it is not defined."""


def _overlap(pairs: _Pairs) -> _Columns:
    scores = rouge(pairs.texts, pairs.references)
    return {
        "rouge_1": [one.rouge_1 for one in scores],
        "rouge_2": [one.rouge_2 for one in scores],
        "rouge_l": [one.rouge_l for one in scores],
    }


def _bertscore(
    pairs: _Pairs, encoder: bert.Encoder, batch_size: int, on_scored: OnScored | None
) -> _Columns:
    scores = bert.score_pairs(
        encoder,
        pairs.texts,
        pairs.references,
        batch_size=batch_size,
        on_scored=_counter("BERTScore", len(pairs.texts), on_scored),
    )
    return {
        "bertscore_precision": [one.precision for one in scores],
        "bertscore_recall": [one.recall for one in scores],
        "bertscore_f1": [one.f1 for one in scores],
    }


def _bartscore(
    pairs: _Pairs, scorer: Pretrained, batch_size: int, on_scored: OnScored | None
) -> _Columns:
    spoken = [place for place, text in enumerate(pairs.texts) if text]
    counter = _counter("BARTScore", len(pairs.texts) + len(spoken), on_scored)
    recall = bart.score_pairs(
        scorer, pairs.texts, pairs.references, batch_size=batch_size, on_scored=counter
    )
    # An empty target has the probability of the end token alone, which says nothing of it.
    scores = bart.score_pairs(
        scorer,
        [pairs.references[place] for place in spoken],
        [pairs.texts[place] for place in spoken],
        batch_size=batch_size,
        on_scored=counter,
    )
    precision: list[float | None] = [None] * len(pairs.texts)
    for place, score in zip(spoken, scores, strict=True):
        precision[place] = score
    return {"bartscore_precision": precision, "bartscore_recall": [*recall]}


def _counter(name: str, total: int, on_scored: OnScored | None) -> Callable[[int], None] | None:
    """Adds up batches for `on_scored`."""
    if on_scored is None:
        return None
    done = 0

    def count(scored: int) -> None:
        nonlocal done
        done += scored
        on_scored(name, done, total)

    return count


def _own_terms(samples: Sequence[Sample]) -> Terms:
    """The metrics that need neither a reference explanation nor a model."""
    terms: Terms = {}
    for sample in samples:
        for metric, term in {**_read_terms(sample), **_fault_terms(_faults(sample))}.items():
            terms.setdefault(metric, []).append(term)
    return terms


def _faults(sample: Sample) -> Faults:
    return find_faults(sample.text, sample.post, sample.finish_reason)


def _read_terms(sample: Sample) -> dict[str, Term]:
    grounding = ground(sample.text, sample.post)
    read = sample.consistency
    return {
        "quotes_found": (grounding.found, grounding.quotes),
        "with_quote": (grounding.quotes > 0, 1),
        "quotes": (grounding.quotes, 1),
        "consistency": (0, 0) if read is None else (read, 1),
        "consistent": (0, 0) if read is None else (read >= 0.5, 1),
        "explains_reference": (sample.right, 1),
        "words": (len(sample.text.split()), 1),
    }


def _fault_terms(faults: Faults) -> dict[str, Term]:
    return {
        "repeats_or_cut_off": (faults.repeats or faults.cut_off, 1),
        "repeats": (faults.repeats, 1),
        "cut_off": (faults.cut_off, 1),
        "empty": (faults.empty, 1),
        "prompt_talk": (faults.prompt_talk, 1),
        "copies_post": (faults.copies_post, 1),
        "not_english": (faults.not_english, 1),
        "clinical_words": (faults.clinical_words, 1),
        "repeated_4grams": (faults.repeated_4grams, 1),
        "copied": (faults.copied, 1),
    }
