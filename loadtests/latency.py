"""What happened to each request, and what that says of a service: percentiles, rates, goodput."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Times are seconds on one monotonic clock.

    Attributes:
        due: when it should have been sent: waiting for a free client counts as waiting.
        sent: when it was.
        first_label: when the first label came; None where the way gives none before the end.
        first_token: when the first token of a text came; None where no text was asked for.
        end: when the whole answer was there.
        tokens: of the completion.
        labels: how many answers have a label.
        error: what went wrong, as a short name; None where nothing did.
    """

    due: float
    sent: float
    first_label: float | None
    first_token: float | None
    end: float
    tokens: int
    labels: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of a time, in milliseconds."""

    p50: float
    p90: float
    p95: float
    p99: float
    highest: float


@dataclass(frozen=True, slots=True)
class Objective:
    """What an answer must keep to count as good, in milliseconds from when it was due.

    Attributes:
        first_label: the first label, or the whole answer where none comes before it.
        total: the whole answer.
    """

    first_label: float
    total: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A run of requests.

    Attributes:
        requests: how many were sent.
        errors: of these, how many failed.
        seconds: from the first one due to the last answer.
        requests_per_second: those answered, over that time.
        tokens_per_second: of completions, likewise.
        labels: answers with a label.
        first_label: from due to the first label; None where there is none.
        first_token: likewise.
        total: from due to the end; None where every request failed.
        goodput: answers a second that kept the objective; None where none was set.
        failures: what went wrong, as a short name, to how often.
    """

    requests: int
    errors: int
    seconds: float
    requests_per_second: float
    tokens_per_second: float
    labels: int
    first_label: Percentiles | None
    first_token: Percentiles | None
    total: Percentiles | None
    goodput: float | None
    failures: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


def summarise(samples: Sequence[Sample], objective: Objective | None = None) -> Summary:
    """Sum up a run; requests that failed count in `errors` and in nothing else."""
    good = [sample for sample in samples if sample.error is None]
    begun = min((sample.due for sample in samples), default=0.0)
    seconds = max((sample.end for sample in samples), default=0.0) - begun
    rate = 1 / seconds if seconds > 0 else 0.0
    kept = None
    if objective is not None:
        kept = sum(_keeps(sample, objective) for sample in good) * rate
    return Summary(
        requests=len(samples),
        errors=len(samples) - len(good),
        seconds=seconds,
        requests_per_second=len(good) * rate,
        tokens_per_second=sum(sample.tokens for sample in good) * rate,
        labels=sum(sample.labels for sample in good),
        first_label=percentiles([s.first_label - s.due for s in good if s.first_label is not None]),
        first_token=percentiles([s.first_token - s.due for s in good if s.first_token is not None]),
        total=percentiles([sample.end - sample.due for sample in good]),
        goodput=kept,
        failures=Counter(sample.error for sample in samples if sample.error is not None),
    )


def percentiles(seconds: Sequence[float]) -> Percentiles | None:
    """Percentiles by the nearest rank: each is a time that was measured."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] * 1000

    return Percentiles(at(0.5), at(0.9), at(0.95), at(0.99), ordered[-1] * 1000)


def _keeps(sample: Sample, objective: Objective) -> bool:
    first = sample.end if sample.first_label is None else sample.first_label
    return (first - sample.due) * 1000 <= objective.first_label and (
        sample.end - sample.due
    ) * 1000 <= objective.total
