"""How far people agree, and how far a metric agrees with people.

Krippendorff's alpha by the package `krippendorff`, Cohen's kappa by scikit-learn, correlations by
SciPy. What cannot be computed (one annotator, all numbers the same) is NaN with no more said; the
report shows a dash.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from training.annotate.ratings import Rating
from training.annotate.rubric import SCALE
from training.evaluate.metrics import Floats


@dataclass(frozen=True, slots=True)
class Pair:
    """How far two annotators agree on one criterion.

    Attributes:
        annotators: the two.
        items: how many both rated.
        exact: share of these on which they gave the same number.
        close: share on which the numbers differ by at most 1.
        kappa: Cohen's kappa with quadratic weights; NaN where it is not defined.
    """

    annotators: tuple[str, str]
    items: int
    exact: float
    close: float
    kappa: float


@dataclass(frozen=True, slots=True)
class Correlation:
    """How far a metric follows what people say.

    Attributes:
        items: how many have both.
        spearman: rank correlation with the annotators' mean.
        kendall: Kendall's tau-b.
        low: lower end of the 95% bootstrap interval of `spearman` by item.
        high: its upper end.
    """

    items: int
    spearman: float
    kendall: float
    low: float
    high: float


def alpha(ratings: Iterable[Rating], level: str = "ordinal") -> float:
    """Krippendorff's alpha of ratings on one criterion.

    Args:
        ratings: of one criterion; items may be rated by any number of annotators.
        level: of measurement, as the package names it: `nominal`, `ordinal` or `interval`.

    Returns:
        1 for perfect agreement, 0 for that of chance; NaN where no item was rated twice or all
        numbers are the same.
    """
    import krippendorff

    matrix = _matrix(ratings)
    pairable = (~np.isnan(matrix)).sum(axis=0) > 1
    known = matrix[:, pairable]
    if not known.size or len(np.unique(known[~np.isnan(known)])) < 2:
        return math.nan
    return float(
        krippendorff.alpha(known, value_domain=list(SCALE), level_of_measurement=level)  # type: ignore[arg-type]
    )


def pairs(ratings: Iterable[Rating]) -> tuple[Pair, ...]:
    """Every two annotators who rated items in common, on one criterion."""
    from sklearn.metrics import cohen_kappa_score

    by_annotator: dict[str, dict[str, int]] = defaultdict(dict)
    for one in ratings:
        by_annotator[one.annotator][one.item] = one.value
    found = []
    for first, second in combinations(sorted(by_annotator), 2):
        common = sorted(by_annotator[first].keys() & by_annotator[second].keys())
        if not common:
            continue
        a = np.array([by_annotator[first][item] for item in common])
        b = np.array([by_annotator[second][item] for item in common])
        kappa = math.nan
        if len(np.unique(np.concatenate([a, b]))) > 1:
            kappa = float(cohen_kappa_score(a, b, labels=list(SCALE), weights="quadratic"))
        found.append(
            Pair(
                (first, second),
                len(common),
                float((a == b).mean()),
                float((abs(a - b) <= 1).mean()),
                kappa,
            )
        )
    return tuple(found)


def correlation(
    people: Mapping[str, float], metric: Mapping[str, float], *, resamples: int, seed: int
) -> Correlation:
    """How far a metric follows the annotators' means.

    Args:
        people: item id to the mean of its ratings.
        metric: item id to the metric; items without one are left out.
        resamples: of items, for the interval; 0 leaves it out.
        seed: of the resamples.
    """
    from scipy.stats import kendalltau

    common = sorted(people.keys() & metric.keys())
    x = np.array([people[item] for item in common])
    y = np.array([metric[item] for item in common])
    if len(common) < 3 or len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return Correlation(len(common), math.nan, math.nan, math.nan, math.nan)
    generator = np.random.default_rng(seed)
    drawn = [
        _spearman(x[places], y[places])
        for places in generator.integers(len(common), size=(resamples, len(common)))
    ]
    known = np.array([one for one in drawn if not math.isnan(one)])
    low, high = np.quantile(known, [0.025, 0.975]) if known.size else (math.nan, math.nan)
    return Correlation(
        len(common), _spearman(x, y), float(kendalltau(x, y).statistic), float(low), float(high)
    )


def _spearman(x: Floats, y: Floats) -> float:
    """Pearson's correlation of the ranks."""
    from scipy.stats import rankdata

    a, b = rankdata(x), rankdata(y)
    if len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def _matrix(ratings: Iterable[Rating]) -> Floats:
    """(annotators, items) numbers, NaN where there is none."""
    listed: Sequence[Rating] = list(ratings)
    rows = {name: place for place, name in enumerate(sorted({one.annotator for one in listed}))}
    columns = {name: place for place, name in enumerate(sorted({one.item for one in listed}))}
    matrix = np.full((len(rows), len(columns)), math.nan)
    for one in listed:
        matrix[rows[one.annotator], columns[one.item]] = one.value
    return matrix
