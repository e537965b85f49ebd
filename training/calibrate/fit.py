"""The maximum-likelihood fit of a temperature and biases, with a weak prior.

Rows of label reads and their references go in, a temperature and a bias per label come out, of the
form that `service.analysis.calibration` applies: p' = softmax(log p / T + b). What is minimised is

    - sum over rows of log p'(reference)
    + (log T - m)^2 / (2 s^2) + sum over labels of (b - c)^2 / (2 t^2)

The prior is Gaussian on log T and on the biases, about m = 0 and c = 0 (no change). Without it, a
label that no row has would send its bias to minus infinity, rows that the model reads without an
error would send the temperature to 0, and the biases would be known up to a constant alone. It is
worth about one row: with a hundred rows it hardly moves the numbers.

Questions of one task with the same labels (the six dimensions of wellness, the two interpersonal
risks) are partly pooled: one fit over all of them first, then each question's own about that one,
with a tighter prior. A question with few rows stays near the others', one with many goes its way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from service.analysis.calibration import QuestionCalibration
from training.calibrate.reads import Floats, Reads, joined, pools

_LOG_TEMPERATURE_LIMIT = 4.0
_BIAS_LIMIT = 10.0


class Form(StrEnum):
    """What is fitted, from the simplest."""

    IDENTITY = "identity"
    TEMPERATURE = "temperature"
    TEMPERATURE_AND_BIAS = "temperature_and_bias"


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """Fitted numbers of a question.

    Attributes:
        log_temperature: natural logarithm of the temperature.
        bias: by label, in the question's order.
    """

    log_temperature: float
    bias: Floats

    @classmethod
    def identity(cls, labels: int) -> Parameters:
        """Numbers that change nothing, for so many labels."""
        return cls(0.0, np.zeros(labels))

    def log_probabilities(self, reads: Reads) -> Floats:
        """Calibrated natural-log probabilities, rows by labels."""
        return _log_softmax(
            reads.log_probabilities * math.exp(-self.log_temperature) + self.bias[None, :]
        )

    def to_calibration(self, reads: Reads) -> QuestionCalibration:
        """The same as the analysis takes it, to four digits after the point."""
        labels = [label.id for label in reads.question.labels]
        bias = {
            label: round(float(value), 4)
            for label, value in zip(labels, self.bias, strict=True)
            if round(float(value), 4)
        }
        return QuestionCalibration(round(math.exp(self.log_temperature), 4), bias)


@dataclass(frozen=True, slots=True)
class Prior:
    """Standard deviations of the Gaussian priors, in natural-log units.

    Attributes:
        log_temperature: of the temperature's logarithm, about 0.
        bias: of a label's bias, about 0.
        pooled: of both, about the fit over the questions that are pooled.
    """

    log_temperature: float = 1.0
    bias: float = 2.0
    pooled: float = 0.5


def fit(
    reads: Reads,
    form: Form,
    prior: Prior,
    centre: Parameters | None = None,
) -> Parameters:
    """Fit one question.

    Args:
        reads: its rows; without any, the centre comes back.
        form: what is fitted; what is not stays at 0.
        prior: how strong the prior is.
        centre: what the prior is about; nothing changed where it is None.
    """
    from scipy.optimize import minimize

    labels = len(reads.question.labels)
    if form is Form.IDENTITY:
        return Parameters.identity(labels)
    start = centre or Parameters.identity(labels)
    if not len(reads):
        return start
    with_bias = form is Form.TEMPERATURE_AND_BIAS
    middle = np.concatenate(([start.log_temperature], start.bias if with_bias else []))
    deviation = (
        np.full(len(middle), prior.pooled)
        if centre
        else np.array([prior.log_temperature] + [prior.bias] * (len(middle) - 1))
    )
    scores = reads.log_probabilities
    rows = np.arange(len(reads))

    def loss(point: Floats) -> tuple[float, Floats]:
        scaled = scores * math.exp(-point[0])
        logs = _log_softmax(scaled + point[None, 1:] if with_bias else scaled)
        excess = np.exp(logs)
        excess[rows, reads.references] -= 1.0
        away = (point - middle) / deviation
        gradient = away / deviation
        gradient[0] -= float(np.sum(excess * scaled))
        if with_bias:
            gradient[1:] += excess.sum(axis=0)
        value = -float(logs[rows, reads.references].sum()) + 0.5 * float(away @ away)
        return value, gradient

    limits = [(-_LOG_TEMPERATURE_LIMIT, _LOG_TEMPERATURE_LIMIT)]
    limits += [(-_BIAS_LIMIT, _BIAS_LIMIT)] * (len(middle) - 1)
    point = minimize(loss, middle, jac=True, method="L-BFGS-B", bounds=limits).x
    return Parameters(float(point[0]), point[1:] if with_bias else np.zeros(labels))


def fit_all(
    questions: Mapping[str, Reads], forms: Mapping[str, Form], prior: Prior
) -> dict[str, Parameters]:
    """Fit every question, those of one task about their common fit.

    Args:
        questions: question id to its rows.
        forms: question id to what is fitted.
        prior: how strong the priors are.
    """
    centres: dict[tuple[str, Form], Parameters] = {}
    for names in pools(questions):
        everything = joined([questions[name] for name in names])
        for form in {forms[name] for name in names}:
            common = fit(everything, form, prior)
            centres.update({(name, form): common for name in names})
    return {
        name: fit(reads, forms[name], prior, centres.get((name, forms[name])))
        for name, reads in questions.items()
    }


def negative_log_likelihood(log_probabilities: Floats, reads: Reads) -> Floats:
    """Minus the natural-log probability of the reference, by row."""
    rows = np.arange(len(reads))
    return np.asarray(-log_probabilities[rows, reads.references])


def _log_softmax(scores: Floats) -> Floats:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
