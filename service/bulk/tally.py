"""Counts of what was answered: labels, confidence, abstentions, failures. They hold no post."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, Field

from service.bulk.records import Outcome

BINS = 10
"""Of the histogram of confidence, from 0 to 1."""

LOW_MASS = 0.5
"""Label mass below which the model would rather have said something else."""


class Counts(BaseModel):
    """What was answered to one question.

    Attributes:
        labels: label id to how often it was decided.
        abstained: how often the policy declined to decide.
        confidence: how often the candidate's probability lay in each of `BINS` equal bins.
        probability: sum of the candidates' probabilities.
        low_mass: how often the labels held less than `LOW_MASS`.
        consistent: sum of the explanations' consistency, and of how many.
    """

    labels: dict[str, int] = Field(default_factory=dict)
    abstained: int = 0
    confidence: list[int] = Field(default_factory=lambda: [0] * BINS)
    probability: float = 0.0
    low_mass: int = 0
    consistent: tuple[float, int] = (0.0, 0)

    @property
    def answers(self) -> int:
        """How many there are."""
        return sum(self.confidence)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count an answer."""
        if answer["label"] is None:
            self.abstained += 1
        else:
            self.labels[answer["label"]] = self.labels.get(answer["label"], 0) + 1
        self.confidence[min(int(answer["probability"] * BINS), BINS - 1)] += 1
        self.probability += answer["probability"]
        self.low_mass += answer["label_mass"] < LOW_MASS
        if answer["consistency"] is not None:
            total, number = self.consistent
            self.consistent = (total + answer["consistency"], number + 1)

    def merge(self, other: Counts) -> None:
        """Count what `other` counted too."""
        for label, count in other.labels.items():
            self.labels[label] = self.labels.get(label, 0) + count
        self.abstained += other.abstained
        pairs = zip(self.confidence, other.confidence, strict=True)
        self.confidence = [mine + others for mine, others in pairs]
        self.probability += other.probability
        self.low_mass += other.low_mass
        (mine, n), (others, m) = self.consistent, other.consistent
        self.consistent = (mine + others, n + m)


class Tally(BaseModel):
    """Everything that was counted over some rows.

    Attributes:
        rows: how many.
        failed: code of an error to how many rows have it.
        urgent: rows with an urgent answer.
        truncated: rows of which the model did not see all.
        questions: question id to what was answered.
    """

    rows: int = 0
    failed: dict[str, int] = Field(default_factory=dict)
    urgent: int = 0
    truncated: int = 0
    questions: dict[str, Counts] = Field(default_factory=dict)

    @classmethod
    def of(cls, outcomes: list[Outcome]) -> Self:
        """The counts of some rows' outcomes."""
        tally = cls()
        for outcome in outcomes:
            tally.add(outcome)
        return tally

    def add(self, outcome: Outcome) -> None:
        """Count a row."""
        self.rows += 1
        if (error := outcome["error"]) is not None:
            self.failed[error["code"]] = self.failed.get(error["code"], 0) + 1
            return
        self.urgent += any(answer["urgent"] for answer in outcome["answers"])
        self.truncated += bool(outcome["truncated"])
        for answer in outcome["answers"]:
            self.questions.setdefault(answer["question"], Counts()).add(answer)

    def merge(self, other: Tally) -> None:
        """Count what `other` counted too."""
        self.rows += other.rows
        self.urgent += other.urgent
        self.truncated += other.truncated
        for code, count in other.failed.items():
            self.failed[code] = self.failed.get(code, 0) + count
        for question, counts in other.questions.items():
            self.questions.setdefault(question, Counts()).merge(counts)
