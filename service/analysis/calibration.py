"""Calibration: from the log-probabilities a model gives its labels to probabilities to act on.

The label reads give log p(label) for each label of a question. `Calibration.apply` divides them by
a temperature, adds a bias per label and normalises:

    p'(label) = exp(log p(label) / temperature + bias(label)) / (sum of the same over all labels)

The temperature alone is temperature scaling, the bias per label is vector scaling's, here with one
scale for all labels. Both: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural
Networks", ICML 2017, arXiv 1706.04599, section 4.2. A temperature never changes which label comes
first; a bias can.

The numbers are fitted on validation reads and come from the model's manifest
(`service.analysis.manifest`). A question without any is left as the model read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from imhi.tasks import Question
from service.errors import EngineError


@dataclass(frozen=True, slots=True)
class QuestionCalibration:
    """The fitted numbers of one question.

    Attributes:
        temperature: above 0; above 1 flattens the distribution, below 1 sharpens it.
        bias: label id to what is added to its log-probability; 0 for a label not named.

    Raises:
        ValueError: the temperature is not a finite number above 0, or a bias is not finite.
    """

    temperature: float = 1.0
    bias: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(
                f"temperature must be a finite number above 0; it is {self.temperature}"
            )
        for label, value in self.bias.items():
            if not math.isfinite(value):
                raise ValueError(f"bias of label {label!r} must be finite; it is {value}")


IDENTITY = QuestionCalibration()
"""Leaves a distribution as it is, up to normalisation."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted numbers of a model; `Calibration()` changes nothing.

    Attributes:
        questions: question id to its numbers; `IDENTITY` for a question not named.
    """

    questions: Mapping[str, QuestionCalibration] = field(default_factory=dict)

    def apply(self, question: Question, log_probabilities: Mapping[str, float]) -> dict[str, float]:
        """Return the calibrated probabilities of a question's labels.

        Args:
            question: what was asked.
            log_probabilities: label id to natural-log probability, one for every label of the
                question; they need not be normalised. Minus infinity is a probability of 0.

        Returns:
            Label id to probability, in the question's order; they sum to 1.

        Raises:
            ValueError: the labels are not those of the question.
            EngineError: no label has a probability above 0, or a value is no log-probability (NaN
                or plus infinity).
        """
        labels = [label.id for label in question.labels]
        if log_probabilities.keys() != set(labels):
            raise ValueError(
                f"log-probabilities for question {question.id!r} must be of its labels"
            )
        numbers = self.questions.get(question.id, IDENTITY)
        largest = max(log_probabilities.values())
        if any(math.isnan(value) for value in log_probabilities.values()) or math.isinf(largest):
            raise EngineError(
                f"The engine gave no usable log-probabilities for question {question.id!r}."
            )
        # Taking the largest off before the division keeps a very small temperature from sending
        # every label to minus infinity.
        scores = [
            (log_probabilities[label] - largest) / numbers.temperature
            + numbers.bias.get(label, 0.0)
            for label in labels
        ]
        top = max(scores)
        weights = [math.exp(score - top) for score in scores]
        total = math.fsum(weights)
        return {label: weight / total for label, weight in zip(labels, weights, strict=True)}
