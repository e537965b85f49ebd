"""The fit of temperature and biases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imhi.tasks import QUESTIONS
from service.analysis.calibration import Calibration
from tests.training.calibrate.made_reads import made_reads
from training.calibrate.fit import (
    Form,
    Parameters,
    Prior,
    fit,
    fit_all,
    negative_log_likelihood,
)
from training.calibrate.reads import Reads

BOTH = Form.TEMPERATURE_AND_BIAS


def penalised(reads: Reads, parameters: Parameters, prior: Prior) -> float:
    """What the fit minimises, written down a second time."""
    loss = negative_log_likelihood(parameters.log_probabilities(reads), reads).sum()
    loss += parameters.log_temperature**2 / (2 * prior.log_temperature**2)
    return float(loss + (parameters.bias**2).sum() / (2 * prior.bias**2))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature):
    found = fit(made_reads(rows=4000, temperature=temperature), Form.TEMPERATURE, Prior())
    assert math.exp(found.log_temperature) == pytest.approx(temperature, rel=0.1)
    assert not found.bias.any()


def test_known_biases_are_found():
    truth = (0.8, -0.5, 0.3, -0.6)
    reads = made_reads("mental_disorder.tsid", 4000, temperature=2.0, bias=truth)
    found = fit(reads, BOTH, Prior())
    assert math.exp(found.log_temperature) == pytest.approx(2.0, rel=0.1)
    assert found.bias == pytest.approx(truth, abs=0.15)
    assert found.bias.sum() == pytest.approx(0, abs=1e-3)  # the prior's: else any constant would do


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(["stress", "stress_cause", "mental_disorder.tsid"]),
    st.integers(5, 120),
    st.floats(0.3, 4.0),
    st.integers(0, 10_000),
)
def test_nothing_near_the_fit_is_better(question, rows, temperature, seed):
    reads = made_reads(question, rows, temperature=temperature, seed=seed)
    prior = Prior()
    found = fit(reads, BOTH, prior)
    best = penalised(reads, found, prior)
    assert best <= penalised(reads, Parameters.identity(len(reads.question.labels)), prior) + 1e-9
    steps = np.random.default_rng(seed).normal(size=(20, 1 + len(found.bias))) * 0.05
    for step in steps:
        near = Parameters(found.log_temperature + step[0], found.bias + step[1:])
        assert penalised(reads, near, prior) >= best - 1e-3


def test_the_service_applies_what_was_fitted():
    reads = made_reads("stress_cause", 60, temperature=1.7, bias=(0.4,) * 4 + (-0.32,) * 5)
    found = fit(reads, BOTH, Prior())
    calibration = Calibration({"stress_cause": found.to_calibration(reads)})
    labels = [label.id for label in reads.question.labels]
    expected = np.exp(found.log_probabilities(reads))
    for row, values in enumerate(reads.log_probabilities):
        served = calibration.apply(
            reads.question, dict(zip(labels, map(float, values), strict=True))
        )
        assert list(served.values()) == pytest.approx(expected[row], abs=1e-4)


def test_without_rows_of_a_label_its_bias_stays_finite():
    reads = made_reads("stress_cause", 60)
    reads.references[:] = 0
    found = fit(reads, BOTH, Prior())
    assert np.isfinite(found.bias).all()
    assert np.abs(found.bias).max() < 9


def test_reads_without_an_error_do_not_send_the_temperature_to_zero():
    reads = made_reads(rows=100)
    reads.references[:] = reads.log_probabilities.argmax(axis=1)
    assert fit(reads, Form.TEMPERATURE, Prior()).log_temperature > -4


def test_without_rows_the_centre_comes_back():
    none = made_reads(rows=10).where(np.zeros(10, dtype=np.bool_))
    centre = Parameters(0.3, np.array([0.2, -0.2]))
    assert fit(none, BOTH, Prior(), centre) is centre
    assert fit(none, BOTH, Prior()).log_temperature == 0


def test_a_question_with_few_rows_stays_near_the_others_of_its_task():
    many = {
        f"wellness.{name}": made_reads(f"wellness.{name}", 400, temperature=3.0, seed=seed)
        for seed, name in enumerate(("spiritual", "physical", "social"))
    }
    few = made_reads("wellness.emotional", 6, seed=9)
    questions = {**many, "wellness.emotional": few}
    forms = dict.fromkeys(questions, Form.TEMPERATURE)
    together = fit_all(questions, forms, Prior())["wellness.emotional"].log_temperature
    alone = fit(few, Form.TEMPERATURE, Prior()).log_temperature
    assert abs(together - math.log(3.0)) < abs(alone - math.log(3.0))
    assert together == pytest.approx(math.log(3.0), abs=0.5)


def test_questions_with_other_labels_are_not_pooled():
    names = ("mental_disorder.tsid", "mental_disorder.swmh")
    assert QUESTIONS[names[0]].task == QUESTIONS[names[1]].task
    questions = {
        names[0]: made_reads(names[0], 300, temperature=4.0),
        names[1]: made_reads(names[1], 300, seed=1),
    }
    found = fit_all(questions, dict.fromkeys(names, Form.TEMPERATURE), Prior())
    for name in names:
        alone = fit(questions[name], Form.TEMPERATURE, Prior())
        assert found[name].log_temperature == alone.log_temperature
