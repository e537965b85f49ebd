"""The quality of a run's explanations, as figures with intervals.

Records go in; each explanation becomes a `Sample` of `training.evaluate.explanation_metrics`, on
which every metric is measured once; the samples are then counted together, all sets and set by set.
Intervals come from resamples of posts, as those of the labels do. BLEU is defined on all samples
together and has no interval. What cannot be measured is a figure with a reason, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imhi.tasks import DATASETS
from training.errors import TrainingError
from training.evaluate import bartscore as bart
from training.evaluate import bertscore as bert
from training.evaluate.bootstrap import DIGITS, Resamples, interval
from training.evaluate.classified import Told, classified
from training.evaluate.explanation_metrics import (
    DEFINITIONS,
    NOTES,
    Models,
    OnScored,
    Sample,
    Term,
    Terms,
    measure_samples,
)
from training.evaluate.metrics import Floats
from training.evaluate.overlap import bleu
from training.evaluate.pretrained import Pretrained
from training.evaluate.records import Record
from training.evaluate.results import (
    FREE_FORM,
    READ,
    BootstrapSettings,
    ExplanationResults,
    ExplanationScores,
    Figure,
)

_NO_REFERENCE = "There is no reference explanation."
_NOT_READ = "No explanation was read alone."
_UNDEFINED = {
    "quotes_found": "No explanation quotes anything.",
    "consistency": _NOT_READ,
    "consistent": _NOT_READ,
    "classified": "There are too few reference explanations of other posts to learn from.",
    "bartscore_precision": "No explanation with a reference holds a word.",
}


def measure(
    records: Sequence[Record],
    *,
    bertscore: str | Path | None = None,
    bertscore_layer: int | None = None,
    bartscore: str | Path | None = bart.DEFAULT_MODEL,
    device: str | None = None,
    batch_size: int = 8,
    bootstrap: BootstrapSettings | None = None,
    on_scored: OnScored | None = None,
) -> ExplanationResults:
    """Measure the explanations of a run.

    Args:
        records: the run's samples; those without an explanation are passed over.
        bertscore: directory or hub id of the encoder of BERTScore; None leaves it out.
        bertscore_layer: its layer that is compared; None for the last.
        bartscore: directory or hub id of the seq2seq model of BARTScore; None leaves it out.
        device: where these two run; None for the first GPU, or the CPU where there is none.
        batch_size: pairs that they score at a time.
        bootstrap: how the intervals are made; None for the default.
        on_scored: called as work goes on.

    Returns:
        The explanations of the decided labels (`read`) and of free-form responses (`free_form`),
        each where there are any: all sets together, then set by set. A model that cannot be loaded
        is the reason of the figures that it would have given.
    """
    settings = bootstrap or BootstrapSettings()
    ways = {READ: _explained(records), FREE_FORM: _free_form(records)}
    ways = {way: samples for way, samples in ways.items() if samples}
    told = {READ: _told(records), FREE_FORM: _told(records, free_form=True)}
    references = [
        Told(one.question, one.post_key, one.reference, one.reference_explanation)
        for one in records
        if one.reference_explanation
    ]
    if any(sample.reference for samples in ways.values() for sample in samples):
        models = _load(bertscore, bertscore_layer, bartscore, device)
    else:
        models = Models(encoder=_NO_REFERENCE, scorer=_NO_REFERENCE)
    definitions = _definitions(models)
    scores = {}
    for way, samples in ways.items():
        terms = measure_samples(samples, models, batch_size=batch_size, on_scored=on_scored)
        terms["classified"] = [
            (0.0, 0.0) if right is None else (float(right), 1.0)
            for right in classified(told[way], references)
        ]
        table = _Table(samples, terms, models, settings)
        scores[way] = tuple(table.scores(of) for of in table.groups())
        if table.signature:
            definitions["bleu"] = (
                f"{DEFINITIONS['bleu'].rstrip('.')} (sacrebleu, {table.signature})."
            )
    return ExplanationResults(ways=scores, definitions=definitions, notes=NOTES)


def _explained(records: Sequence[Record]) -> list[Sample]:
    return [
        Sample(
            set=record.set,
            post=record.post,
            post_key=record.post_key,
            text=record.explained.text.strip(),
            reference=record.reference_explanation or None,
            finish_reason=record.explained.finish_reason,
            right=record.explained.label == record.reference,
            consistency=record.explained.consistency,
        )
        for record in records
        if record.explained is not None
    ]


def _free_form(records: Sequence[Record]) -> list[Sample]:
    return [
        Sample(
            set=record.set,
            post=record.post,
            post_key=record.post_key,
            text=(record.free_form.explanation or "").strip(),
            reference=record.reference_explanation or None,
            finish_reason=record.free_form.finish_reason,
            right=record.free_form.label == record.reference,
            consistency=None,
        )
        for record in records
        if record.free_form is not None
    ]


def _told(records: Sequence[Record], *, free_form: bool = False) -> list[Told]:
    """The same explanations in the same order; one without a label explains none."""
    if free_form:
        return [
            Told(one.question, one.post_key, said.label or "", said.explanation or "")
            for one in records
            if (said := one.free_form) is not None
        ]
    return [
        Told(one.question, one.post_key, one.explained.label, one.explained.text)
        for one in records
        if one.explained is not None
    ]


def _load(
    encoder: str | Path | None, layer: int | None, scorer: str | Path | None, device: str | None
) -> Models:
    loaded_encoder: bert.Encoder | str = "No encoder was named."
    loaded_scorer: Pretrained | str = "No seq2seq model was named."
    if encoder is not None:
        try:
            loaded_encoder = bert.load_encoder(encoder, layer=layer, device=device)
        except TrainingError as error:
            loaded_encoder = error.message
    if scorer is not None:
        try:
            loaded_scorer = bart.load_scorer(scorer, device=device)
        except TrainingError as error:
            loaded_scorer = error.message
    return Models(loaded_encoder, loaded_scorer)


def _definitions(models: Models) -> dict[str, str]:
    """The metrics' definitions, with the models that some were measured with."""
    encoder, scorer = "not measured", "not measured"
    if isinstance(models.encoder, bert.Encoder):
        encoder = f"with {models.encoder.pretrained.name}, layer {models.encoder.layer}"
    if isinstance(models.scorer, Pretrained):
        scorer = f"with {models.scorer.name}"
    said = {"bertscore": encoder, "bartscore": scorer}
    return {
        metric: f"{text} ({said[family]})."
        if (family := metric.partition("_")[0]) in said
        else text
        for metric, text in DEFINITIONS.items()
    }


class _Table:
    """The figures of one way, group by group.

    Attributes:
        signature: that of BLEU, once it was measured.
    """

    def __init__(
        self, samples: Sequence[Sample], terms: Terms, models: Models, settings: BootstrapSettings
    ) -> None:
        self._samples = samples
        self._terms = terms
        self._models = models
        self._level = settings.level
        resamples = Resamples.draw(((one.post_key, one.set) for one in samples), settings)
        columns = [resamples.places[sample.post_key] for sample in samples]
        # (samples, resamples): how often each sample's post was drawn
        self._draws = resamples.counts[:, columns].T.astype(np.float64)
        self.signature = ""

    def groups(self) -> list[str | None]:
        """All sets together (None), then each in the order of the benchmark."""
        present = {sample.set for sample in self._samples}
        known = [name for name in DATASETS if name in present]
        return [None, *known, *sorted(present - set(known))]

    def scores(self, of: str | None) -> ExplanationScores:
        """Count together the samples of one set, or of all."""
        places = [i for i, sample in enumerate(self._samples) if of in (None, sample.set)]
        draws = self._draws[places]
        figures = {
            metric: self._bleu(places) if metric == "bleu" else self._figure(metric, places, draws)
            for metric in DEFINITIONS
        }
        return ExplanationScores(set=of, rows=len(places), figures=figures)

    def _figure(self, metric: str, places: list[int], draws: Floats) -> Figure:
        if metric not in self._terms:
            family = metric.partition("_")[0]
            lacking = self._models.encoder if family == "bertscore" else self._models.scorer
            return Figure(value=None, reason=str(lacking))
        terms: list[Term] = [self._terms[metric][place] for place in places]
        numerators, denominators = np.asarray(terms, dtype=np.float64).T
        if not denominators.any():
            return Figure(value=None, reason=_UNDEFINED.get(metric, _NO_REFERENCE))
        with np.errstate(invalid="ignore"):  # a resample without such a sample is left out
            drawn = (numerators @ draws) / (denominators @ draws)
        value = float(numerators.sum() / denominators.sum())
        return Figure(value=round(value, DIGITS), interval=interval(drawn, self._level))

    def _bleu(self, places: list[int]) -> Figure:
        pairs = [
            (sample.text, sample.reference)
            for sample in (self._samples[place] for place in places)
            if sample.reference
        ]
        if not pairs:
            return Figure(value=None, reason=_NO_REFERENCE)
        texts, references = zip(*pairs, strict=True)
        score = bleu(texts, references)
        self.signature = score.signature
        return Figure(value=round(score.score, DIGITS))
