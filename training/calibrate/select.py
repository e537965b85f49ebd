"""Which form of calibration a question gets, decided on posts that the fit has not seen.

Posts are dealt into folds, all questions of a post into the same one. Every form is fitted on all
folds but one and measured on that one; a question keeps the simplest form unless a fuller one
improves its held-out likelihood. `held_out` repeats the whole procedure, the choice included, for
every fold on the rest alone: its probabilities are those of posts that had no part in making the
numbers, and what is reported (calibration error, curves) is measured on them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from training.calibrate.fit import (
    Form,
    Parameters,
    Prior,
    fit_all,
    negative_log_likelihood,
)
from training.calibrate.measure import f1_of
from training.calibrate.options import Criterion
from training.calibrate.reads import Flags, Floats, Reads, pools
from training.errors import DataError


@dataclass(frozen=True, slots=True)
class Settings:
    """How calibration is fitted and chosen.

    Attributes:
        folds: into how many parts the posts are dealt; at least 2.
        seed: of the dealing.
        min_rows: a question with fewer rows is left as it is, unless it is pooled with others and
            they have as many together.
        criterion: what the choice looks at.
        prior: how strong the priors of the fit are.
    """

    folds: int = 5
    seed: int = 0
    min_rows: int = 50
    criterion: Criterion = Criterion.LIKELIHOOD
    prior: Prior = field(default_factory=Prior)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one form reached on held-out posts.

    Attributes:
        negative_log_likelihood: mean by row, natural-log units.
        weighted_f1: from 0 to 1.
    """

    negative_log_likelihood: float
    weighted_f1: float


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What a question got.

    Attributes:
        form: the form that was kept.
        parameters: its numbers, fitted on all rows.
        measured: each form's figures on held-out posts; empty where nothing was tried.
        reason: why the question was left as it is without a trial, or None.
    """

    form: Form
    parameters: Parameters
    measured: Mapping[Form, Measured]
    reason: str | None = None


def deal(questions: Mapping[str, Reads], folds: int, seed: int) -> dict[str, int]:
    """Deal the posts into folds of equal size: key of a post to the fold's number.

    Raises:
        DataError: there are fewer posts than folds.
    """
    keys = sorted({post for reads in questions.values() for post in reads.posts})
    if len(keys) < folds:
        raise DataError(
            f"{len(keys)} posts cannot be dealt into {folds} folds. Give more rows, or fewer folds."
        )
    random.Random(seed).shuffle(keys)
    return {key: number % folds for number, key in enumerate(keys)}


def choose(
    questions: Mapping[str, Reads], folds: Mapping[str, int], settings: Settings
) -> dict[str, Chosen]:
    """Choose a form for every question and fit it on all rows.

    Args:
        questions: question id to its rows.
        folds: key of a post to its fold, as `deal` gives it.
        settings: how to choose.
    """
    few = _too_few(questions, settings.min_rows)
    tried = {name: reads for name, reads in questions.items() if name not in few}
    measured = {
        name: _measure(reads, logs) for name, reads, logs in _trials(tried, folds, settings)
    }
    forms = {name: _best(figures, settings.criterion) for name, figures in measured.items()}
    fitted = fit_all(tried, forms, settings.prior)
    return {
        name: Chosen(forms[name], fitted[name], measured[name])
        if name in tried
        else Chosen(Form.IDENTITY, Parameters.identity(len(reads.question.labels)), {}, few[name])
        for name, reads in questions.items()
    }


def held_out(
    questions: Mapping[str, Reads], folds: Mapping[str, int], settings: Settings
) -> dict[str, Floats]:
    """Calibrated log-probabilities of every row, with numbers chosen and fitted on other posts.

    Returns:
        Question id to natural-log probabilities, rows by labels.
    """
    result = {name: np.empty_like(reads.log_probabilities) for name, reads in questions.items()}
    numbers = sorted(set(folds.values()))
    # The inner choice has a fold less: a question must not fall below the least rows for that.
    inner = replace(settings, min_rows=settings.min_rows * (len(numbers) - 1) // len(numbers))
    for number in numbers:
        inside, outside = _divide(questions, folds, number)
        for name, chosen in choose(outside, folds, inner).items():
            rows = inside[name]
            result[name][rows] = chosen.parameters.log_probabilities(questions[name].where(rows))
    return result


def _too_few(questions: Mapping[str, Reads], least: int) -> dict[str, str]:
    """Ids of the questions that are not tried, with the reason."""
    together = {name: len(reads) for name, reads in questions.items()}
    for names in pools(questions):
        together.update(dict.fromkeys(names, sum(len(questions[name]) for name in names)))
    return {
        name: f"{len(reads)} rows are fewer than {least}"
        for name, reads in questions.items()
        if not len(reads) or together[name] < least
    }


def _divide(
    questions: Mapping[str, Reads], folds: Mapping[str, int], number: int
) -> tuple[dict[str, Flags], dict[str, Reads]]:
    """The rows that are in a fold, and the reads that are not."""
    inside = {
        name: np.array([folds[post] == number for post in reads.posts], dtype=np.bool_)
        for name, reads in questions.items()
    }
    return inside, {name: reads.where(~inside[name]) for name, reads in questions.items()}


def _trials(
    questions: Mapping[str, Reads], folds: Mapping[str, int], settings: Settings
) -> list[tuple[str, Reads, dict[Form, Floats]]]:
    """Every question's held-out log-probabilities in every form."""
    logs = {
        name: {form: np.empty_like(reads.log_probabilities) for form in Form}
        for name, reads in questions.items()
    }
    for number in sorted({folds[post] for reads in questions.values() for post in reads.posts}):
        inside, outside = _divide(questions, folds, number)
        for form in Form:
            fitted = fit_all(outside, dict.fromkeys(questions, form), settings.prior)
            for name, parameters in fitted.items():
                rows = inside[name]
                logs[name][form][rows] = parameters.log_probabilities(questions[name].where(rows))
    return [(name, reads, logs[name]) for name, reads in questions.items()]


def _measure(reads: Reads, logs: Mapping[Form, Floats]) -> dict[Form, Measured]:
    return {
        form: Measured(
            float(negative_log_likelihood(values, reads).mean()),
            f1_of(reads, values),
        )
        for form, values in logs.items()
    }


def _best(measured: Mapping[Form, Measured], criterion: Criterion) -> Form:
    """The form to keep; the simpler of two that are equal."""
    before = measured[Form.IDENTITY].negative_log_likelihood
    better = [form for form in Form if measured[form].negative_log_likelihood < before]
    if not better:
        return Form.IDENTITY

    def worth(form: Form) -> tuple[float, float]:
        figures = measured[form]
        f1 = figures.weighted_f1 if criterion is Criterion.WEIGHTED_F1 else 0.0
        return f1, -figures.negative_log_likelihood

    return max(
        [Form.IDENTITY, *better] if criterion is Criterion.WEIGHTED_F1 else better, key=worth
    )
