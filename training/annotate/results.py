"""The results of an annotation: the form of `annotation.json`, and how it is computed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from training.annotate.agreement import alpha, correlation, pairs
from training.annotate.items import Item, Key
from training.annotate.metrics import Metrics, metrics_of
from training.annotate.ratings import Rating
from training.annotate.rubric import RUBRICS
from training.evaluate.bootstrap import DIGITS, interval
from training.evaluate.results import BootstrapSettings, Figure

RESULTS_FILE = "annotation.json"
ALL = "all"
"""The name of all systems together."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PairAgreement(_Entry):
    """How far two annotators agree."""

    annotators: tuple[str, str]
    items: int
    exact: float = Field(description="Share of equal numbers.")
    close: float = Field(description="Share of numbers that differ by at most 1.")
    kappa: float | None = Field(description="Cohen's kappa, quadratic weights.")


class MetricCorrelation(_Entry):
    """How far an automatic metric follows the annotators' mean."""

    metric: str
    items: int
    spearman: float | None
    kendall: float | None = Field(description="Kendall's tau-b.")
    interval: tuple[float, float] | None = Field(description="95%, of `spearman`, by item.")
    within: float | None = Field(
        description="Spearman's correlation of what is left when the mean of its system is taken "
        "from each number: whether the metric tells good from bad explanations of one system."
    )


class CriterionResults(_Entry):
    """What people said on one criterion."""

    criterion: str
    means: Mapping[str, Figure] = Field(description="System to its mean, with a 95% interval.")
    ratings: Mapping[str, int] = Field(description="System to the number of ratings.")
    alpha: Mapping[str, float | None] = Field(
        description="System, or `all`, to Krippendorff's alpha, ordinal."
    )
    pairs: tuple[PairAgreement, ...]
    correlations: tuple[MetricCorrelation, ...] = Field(
        description="Over the items of all systems."
    )


class AnnotationResults(_Entry):
    """All that a report on ratings says."""

    schema_version: int = 1
    rubric: str
    systems: tuple[str, ...]
    annotators: tuple[str, ...]
    items: int
    rated: int = Field(description="Items with at least one rating.")
    ratings: int
    bootstrap: BootstrapSettings
    metrics: Mapping[str, str] = Field(description="Automatic metric to its definition.")
    criteria: tuple[CriterionResults, ...]


def compute(
    items: Mapping[str, Item],
    key: Key,
    ratings: Sequence[Rating],
    settings: BootstrapSettings,
    others: Metrics | None = None,
) -> AnnotationResults:
    """Compute means, agreement, and correlations with the automatic metrics.

    Args:
        items: by id.
        key: of the same export.
        ratings: what people said.
        settings: of the intervals, which resample samples: all systems' items on one together.
        others: metrics besides those that need no model.
    """
    systems = tuple(dict.fromkeys(origin.system for origin in key.origins.values()))
    metrics = metrics_of(items.values())
    automatic = {**metrics.values, **(others.values if others else {})}
    definitions = {**metrics.definitions, **(others.definitions if others else {})}
    criteria = []
    for criterion in RUBRICS[key.rubric].criteria:
        own = [one for one in ratings if one.criterion == criterion.id]
        of_system = {
            system: [one for one in own if key.origins[one.item].system == system]
            for system in systems
        }
        people = _item_means(own)
        criteria.append(
            CriterionResults(
                criterion=criterion.id,
                means={name: _mean(some, key, settings) for name, some in of_system.items()},
                ratings={name: len(some) for name, some in of_system.items()},
                alpha={
                    ALL: _known(alpha(own)),
                    **{name: _known(alpha(some)) for name, some in of_system.items()},
                },
                pairs=tuple(
                    PairAgreement(
                        annotators=pair.annotators,
                        items=pair.items,
                        exact=round(pair.exact, DIGITS),
                        close=round(pair.close, DIGITS),
                        kappa=_known(pair.kappa),
                    )
                    for pair in pairs(own)
                ),
                correlations=tuple(
                    _correlation(metric, people, values, key, settings)
                    for metric, values in automatic.items()
                ),
            )
        )
    return AnnotationResults(
        rubric=key.rubric,
        systems=systems,
        annotators=key.annotators,
        items=len(items),
        rated=len({one.item for one in ratings}),
        ratings=len(ratings),
        bootstrap=settings,
        metrics=definitions,
        criteria=tuple(criteria),
    )


def _item_means(ratings: Sequence[Rating]) -> dict[str, float]:
    values: dict[str, list[int]] = defaultdict(list)
    for one in ratings:
        values[one.item].append(one.value)
    return {item: float(np.mean(numbers)) for item, numbers in values.items()}


def _mean(ratings: Sequence[Rating], key: Key, settings: BootstrapSettings) -> Figure:
    """The mean of all numbers, as the papers give it; the interval resamples samples."""
    if not ratings:
        return Figure(value=None, reason="Nothing was rated yet.")
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in ratings:
        entry = sums[key.origins[one.item].sample]
        entry[0] += one.value
        entry[1] += 1
    totals = np.array([sums[name] for name in sorted(sums)])
    generator = np.random.default_rng(settings.seed)
    drawn = generator.integers(len(totals), size=(settings.resamples, len(totals)))
    resampled = totals[drawn].sum(axis=1)
    value = totals[:, 0].sum() / totals[:, 1].sum()
    samples = resampled[:, 0] / resampled[:, 1] if settings.resamples else np.zeros(0)
    return Figure(value=round(float(value), DIGITS), interval=interval(samples, settings.level))


def _correlation(
    metric: str,
    people: Mapping[str, float],
    values: Mapping[str, float],
    key: Key,
    settings: BootstrapSettings,
) -> MetricCorrelation:
    both = people.keys() & values.keys()
    left = [_without_system({one: of[one] for one in both}, key) for of in (people, values)]
    within = correlation(*left, resamples=0, seed=0)
    found = correlation(people, values, resamples=settings.resamples, seed=settings.seed)
    bounds = (_known(found.low), _known(found.high))
    return MetricCorrelation(
        metric=metric,
        items=found.items,
        spearman=_known(found.spearman),
        kendall=_known(found.kendall),
        interval=None if bounds[0] is None or bounds[1] is None else (bounds[0], bounds[1]),
        within=_known(within.spearman),
    )


def _without_system(values: Mapping[str, float], key: Key) -> dict[str, float]:
    """Values less the mean of their system."""
    of_system: dict[str, list[float]] = defaultdict(list)
    for item, value in values.items():
        of_system[key.origins[item].system].append(value)
    means = {system: float(np.mean(some)) for system, some in of_system.items()}
    # Rounded, so that what is the same stays the same: ranks would tell rounding errors apart.
    return {
        item: round(value - means[key.origins[item].system], DIGITS)
        for item, value in values.items()
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DIGITS)
