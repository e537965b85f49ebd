"""Intervals by resampling posts.

Rows on one post (six in MultiWD) err together, so posts are drawn and not rows. A post may stand in
several sets: drawing it once for all of them keeps the mean over sets honest. Posts are drawn
within groups that stand in the same sets, so every set keeps its number of posts in every resample.

The draws depend on the seed and the posts alone, not on a model: two runs on the same data meet the
same resamples, which is what makes their comparison paired.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluate.metrics import METRICS, Answers, Floats, measure
from training.evaluate.results import BootstrapSettings, Figure

_CHUNK = 100
"""Resamples at a time: with 10,000 rows their weights take 8 MB."""

DIGITS = 6
"""Decimals that are kept of a figure."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its resamples.

    Attributes:
        value: the figure, NaN where it cannot be measured.
        samples: (R,) the figure in each resample.
    """

    value: float
    samples: Floats

    def minus(self, other: Estimate) -> Estimate:
        """The difference; paired where both come of the same `Resamples`."""
        return Estimate(self.value - other.value, self.samples - other.samples)


@dataclass(frozen=True, slots=True)
class Resamples:
    """How often each post was drawn.

    Attributes:
        places: post key to its column.
        counts: (R, posts) draws.
    """

    places: Mapping[str, int]
    counts: NDArray[np.uint16]

    @classmethod
    def draw(cls, posts: Iterable[tuple[str, str]], settings: BootstrapSettings) -> Resamples:
        """Draw the resamples.

        Args:
            posts: (post key, set id) of every row; neither order nor repetition matters.
            settings: number of resamples and seed.
        """
        sets_of: defaultdict[str, set[str]] = defaultdict(set)
        for key, set_id in posts:
            sets_of[key].add(set_id)
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for key in sorted(sets_of):
            groups["\n".join(sorted(sets_of[key]))].append(key)
        places: dict[str, int] = {}
        columns: list[NDArray[np.uint16]] = [np.zeros((settings.resamples, 0), dtype=np.uint16)]
        for name in sorted(groups):
            keys = groups[name]
            places.update({key: len(places) + place for place, key in enumerate(keys)})
            digest = hashlib.sha256(name.encode()).digest()
            rng = np.random.default_rng([settings.seed, int.from_bytes(digest[:8], "big")])
            drawn = rng.integers(len(keys), size=(settings.resamples, len(keys)))
            offsets = np.arange(settings.resamples)[:, np.newaxis] * len(keys)
            counted = np.bincount((drawn + offsets).ravel(), minlength=drawn.size)
            columns.append(counted.reshape(drawn.shape).astype(np.uint16))
        return cls(places, np.concatenate(columns, axis=1))


def estimate(answers: Answers, resamples: Resamples) -> dict[str, Estimate]:
    """Return every metric of `training.evaluate.metrics.measure` with its resamples."""
    values = measure(answers, np.ones((1, answers.references.size)))
    parts: list[dict[str, Floats]] = []
    for start in range(0, len(resamples.counts), _CHUNK):
        chunk = resamples.counts[start : start + _CHUNK]
        parts.append(measure(answers, chunk[:, answers.posts].astype(np.float64)))
    estimates = {}
    for metric, value in values.items():
        samples = np.concatenate([part[metric] for part in parts]) if parts else np.zeros(0)
        if METRICS[metric].recentred and not np.isnan(samples).all():
            samples = np.maximum(samples + value[0] - np.nanmean(samples), 0)
        estimates[metric] = Estimate(float(value[0]), samples)
    return estimates


def mean_estimate(estimates: Iterable[Estimate]) -> Estimate:
    """Return the mean of one metric over sets, resample by resample."""
    listed = list(estimates)
    return Estimate(
        float(np.mean([one.value for one in listed])),
        np.mean([one.samples for one in listed], axis=0),
    )


def interval(samples: Floats, level: float) -> tuple[float, float] | None:
    """Return the percentile interval, or None without resamples.

    Resamples in which the figure cannot be measured (a label that was not drawn) are left out.
    """
    known = samples[~np.isnan(samples)]
    if not known.size:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return round(float(low), DIGITS), round(float(high), DIGITS)


def to_figure(one: Estimate, level: float) -> Figure:
    """Return the estimate as results keep it."""
    if np.isnan(one.value):
        return Figure(value=None, reason="Too few rows, or only one label among the references.")
    return Figure(value=round(one.value, DIGITS), interval=interval(one.samples, level))
