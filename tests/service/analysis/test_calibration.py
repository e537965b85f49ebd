import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imhi.tasks import QUESTIONS
from service.analysis.calibration import IDENTITY, Calibration, QuestionCalibration
from service.errors import EngineError

STRESS = QUESTIONS["stress"]
CAUSE = QUESTIONS["stress_cause"]
LOG_P = st.floats(min_value=-200, max_value=0) | st.just(-math.inf)


@st.composite
def reads(draw):
    """A question with a log-probability per label, at least one above minus infinity."""
    question = draw(st.sampled_from(list(QUESTIONS.values())))
    values = {label.id: draw(LOG_P) for label in question.labels}
    assume(any(value > -math.inf for value in values.values()))
    return question, values


@st.composite
def calibrated_reads(draw):
    question, values = draw(reads())
    bias = {
        label.id: draw(st.floats(min_value=-50, max_value=50))
        for label in question.labels
        if draw(st.booleans())
    }
    temperature = draw(st.floats(min_value=0.05, max_value=20))
    return question, values, QuestionCalibration(temperature, bias)


@given(calibrated_reads())
def test_result_is_a_distribution_in_the_question_order(case):
    question, values, numbers = case
    result = Calibration({question.id: numbers}).apply(question, values)
    assert list(result) == [label.id for label in question.labels]
    assert all(0 <= p <= 1 for p in result.values())
    assert abs(math.fsum(result.values()) - 1) <= 1e-12


@given(calibrated_reads())
def test_ratios_follow_the_formula(case):
    question, values, numbers = case
    result = Calibration({question.id: numbers}).apply(question, values)
    for label, value in values.items():
        for other, other_value in values.items():
            if min(result[label], result[other]) < 1e-300:  # subnormal: no digits to compare
                continue
            expected = (value - other_value) / numbers.temperature
            expected += numbers.bias.get(label, 0) - numbers.bias.get(other, 0)
            got = math.log(result[label]) - math.log(result[other])
            assert got == pytest.approx(expected, abs=1e-9)


def test_worked_example():
    # sqrt(0.81) : sqrt(0.01) * e^log(3) = 0.9 : 0.3
    calibration = Calibration({"stress": QuestionCalibration(2.0, {"no": math.log(3)})})
    result = calibration.apply(STRESS, {"yes": math.log(0.81), "no": math.log(0.01)})
    assert result == pytest.approx({"yes": 0.75, "no": 0.25})


def test_numbers_of_another_question_do_not_count():
    calibration = Calibration({"loneliness": QuestionCalibration(5.0)})
    values = {"yes": math.log(0.9), "no": math.log(0.1)}
    assert calibration.apply(STRESS, values) == pytest.approx({"yes": 0.9, "no": 0.1})
    assert QuestionCalibration() == IDENTITY


def test_impossible_label_stays_impossible():
    calibration = Calibration({"stress": QuestionCalibration(3.0, {"no": 40.0})})
    assert calibration.apply(STRESS, {"yes": -1.0, "no": -math.inf}) == {"yes": 1.0, "no": 0.0}


@pytest.mark.parametrize("temperature", [1e-308, 1e-12, 1e12, 1e308])
def test_extreme_temperatures_are_stable(temperature):
    calibration = Calibration({"stress": QuestionCalibration(temperature)})
    result = calibration.apply(STRESS, {"yes": -700.0, "no": -701.0})
    expected = 1.0 if temperature < 1 else 0.5
    assert result["yes"] == pytest.approx(expected)


@pytest.mark.parametrize("values", [(-math.inf, -math.inf), (math.nan, -1.0), (math.inf, -1.0)])
def test_unusable_reads_are_the_engines_error(values):
    with pytest.raises(EngineError, match="'stress'"):
        Calibration().apply(STRESS, dict(zip(["yes", "no"], values, strict=True)))


@pytest.mark.parametrize("labels", [["yes"], ["yes", "no", "maybe"], ["yes", "maybe"]])
def test_labels_must_be_the_questions(labels):
    with pytest.raises(ValueError, match="must be of its labels"):
        Calibration().apply(STRESS, dict.fromkeys(labels, -1.0))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_temperature_out_of_range_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        QuestionCalibration(temperature)


def test_bias_must_be_finite():
    with pytest.raises(ValueError, match="bias of label 'yes'"):
        QuestionCalibration(1.0, {"yes": math.inf})
