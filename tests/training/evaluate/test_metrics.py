"""Every metric against scikit-learn, or against a sum done by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lazy import sklearn
from training.evaluate import metrics
from training.evaluate.metrics import Answers

BIG = settings(max_examples=60, deadline=None)


def answers_of(
    references: list[int],
    predictions: list[int] | None = None,
    probabilities: list[list[float]] | None = None,
    *,
    labels: int = 2,
    questions: list[int] | None = None,
) -> Answers:
    size = len(references)
    table = None if probabilities is None else np.array(probabilities, dtype=float)
    if predictions is None:
        assert table is not None
        predictions = [int(one) for one in table.argmax(axis=1)]
    return Answers(
        labels=tuple(f"label {place}" for place in range(labels)),
        references=np.array(references, dtype=np.int64),
        predictions=np.array(predictions, dtype=np.int64),
        probabilities=table,
        questions=np.array(questions or [0] * size, dtype=np.int64),
        posts=np.arange(size),
        positive=0 if labels == 2 else None,
    )


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Answers, np.ndarray]:
    """Rows of 2 to 5 labels, some without a label, with whole weights of which one is not 0."""
    labels = draw(st.integers(2, 5))
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, labels - 1), st.integers(0, labels), st.integers(0, 3)),
            min_size=1,
            max_size=40,
        ).filter(lambda rows: any(weight for _, _, weight in rows))
    )
    weights = np.array([[weight for _, _, weight in rows]], dtype=float)
    return answers_of([r for r, _, _ in rows], [p for _, p, _ in rows], labels=labels), weights


@st.composite
def ranked(draw: st.DrawFn) -> Answers:
    """Rows with probabilities, of which many are equal."""
    labels = draw(st.integers(2, 4))
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, labels - 1),
                st.lists(st.integers(1, 4), min_size=labels, max_size=labels),
            ),
            min_size=2,
            max_size=40,
        )
    )
    probabilities = [[one / sum(shares) for one in shares] for _, shares in rows]
    return answers_of([r for r, _ in rows], None, probabilities, labels=labels)


@BIG
@given(labelled())
def test_f1_and_accuracy_are_scikit_learns(case: tuple[Answers, np.ndarray]) -> None:
    answers, weights = case
    measured = metrics.measure(answers, weights)
    truth = (answers.references, answers.predictions)
    present = np.unique(answers.references[weights[0] > 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels without a row are meant
        weighted, macro = (
            sklearn.f1_score(
                *truth, sample_weight=weights[0], labels=present, average=way, zero_division=0
            )
            for way in ("weighted", "macro")
        )
    assert measured["weighted_f1"][0] == pytest.approx(weighted)
    assert measured["macro_f1"][0] == pytest.approx(macro)
    assert measured["accuracy"][0] == pytest.approx(
        sklearn.accuracy_score(*truth, sample_weight=weights[0])
    )


@BIG
@given(labelled())
def test_the_matrix_is_scikit_learns(case: tuple[Answers, np.ndarray]) -> None:
    answers, weights = case
    every = range(len(answers.labels) + 1)
    expected = sklearn.confusion_matrix(
        answers.references, answers.predictions, labels=list(every), sample_weight=weights[0]
    )
    np.testing.assert_allclose(metrics.confusion_counts(answers, weights)[0], expected[:-1])


@BIG
@given(ranked(), st.data())
def test_the_area_is_scikit_learns_under_any_weights(answers: Answers, data: st.DataObject) -> None:
    assert answers.probabilities is not None
    drawn = data.draw(
        st.lists(
            st.integers(0, 3),
            min_size=answers.references.size,
            max_size=answers.references.size,
        )
    )
    weights = np.array(drawn, dtype=float)
    expected = []
    for label in range(len(answers.labels)):
        positive = answers.references == label
        if weights[positive].sum() and weights[~positive].sum():
            expected.append(
                sklearn.roc_auc_score(
                    positive, answers.probabilities[:, label], sample_weight=weights
                )
            )
    area = metrics.auroc(answers, weights[np.newaxis])[0]
    if expected:
        wanted = expected[0] if len(answers.labels) == 2 else np.mean(expected)
        assert area == pytest.approx(wanted)
    else:
        assert np.isnan(area)


@BIG
@given(ranked())
def test_brier_and_likelihood_are_scikit_learns(answers: Answers) -> None:
    measured = metrics.measure(answers, np.ones((1, answers.references.size)))
    every = list(range(len(answers.labels)))
    assert measured["nll"][0] == pytest.approx(
        sklearn.log_loss(answers.references, answers.probabilities, labels=every)
    )
    assert measured["brier"][0] == pytest.approx(
        sklearn.brier_score_loss(
            answers.references, answers.probabilities, labels=every, scale_by_half=False
        )
    )


def test_the_area_of_several_questions_is_the_mean_of_theirs() -> None:
    # Each question ranks its rows without a fault, but on scales that would mix in one pool.
    yes = [0.9, 0.8, 0.7, 0.6, 0.2, 0.1]
    answers = answers_of(
        [0, 0, 1, 0, 1, 1],
        None,
        [[one, 1 - one] for one in yes],
        questions=[0, 0, 0, 1, 1, 1],
    )
    weights = np.ones((1, 6))
    assert metrics.auroc(answers, weights)[0] == 1
    pooled = answers_of([0, 0, 1, 0, 1, 1], None, [[one, 1 - one] for one in yes])
    assert metrics.auroc(pooled, weights)[0] == pytest.approx(8 / 9)


def test_calibration_errors_by_hand() -> None:
    # Two bins of width 1/15: 0.62 and 0.64 lie in (9/15, 10/15], 0.9 in (13/15, 14/15].
    answers = answers_of([0, 1, 0, 0], None, [[0.62, 0.38], [0.64, 0.36], [0.9, 0.1], [0.9, 0.1]])
    measured = metrics.measure(answers, np.ones((1, 4)))
    assert measured["ece"][0] == pytest.approx((abs(1 - 1.26) + abs(2 - 1.8)) / 4)
    # Equal mass: 0.62 and 0.64 apart, the two rows at 0.9 together.
    assert measured["ece_adaptive"][0] == pytest.approx((0.38 + 0.64 + 0.2) / 4)


@pytest.mark.parametrize(
    ("confidence", "place"), [(1 / 15, 0), (0.5, 7), (1 / 15 + 1e-9, 1), (1.0, 14), (0.0, 0)]
)
def test_bins_of_equal_width_take_their_upper_bound_in(confidence: float, place: int) -> None:
    assert metrics.equal_width_bins(np.array([confidence]))[0] == place


@BIG
@given(st.lists(st.floats(0, 1), min_size=1, max_size=200, unique=True))
def test_bins_of_equal_mass_differ_by_one_row_where_nothing_ties(confidence: list[float]) -> None:
    sizes = np.bincount(metrics.equal_mass_bins(np.array(confidence)))
    held = sizes[sizes > 0]
    assert held.size == min(metrics.BINS, len(confidence))
    assert held.max() - held.min() <= 1


def test_equal_probabilities_share_a_bin() -> None:
    places = metrics.equal_mass_bins(np.array([0.7] * 20 + [0.9] * 20))
    assert np.unique(places[:20]).size == np.unique(places[20:]).size == 1
    assert places[0] != places[-1]


def test_rows_without_probabilities_are_wrong_but_not_calibrated() -> None:
    nan = float("nan")
    answers = answers_of([0, 1, 0], [0, 1, 2], [[0.8, 0.2], [0.3, 0.7], [nan, nan]])
    measured = metrics.measure(answers, np.ones((1, 3)))
    assert measured["accuracy"][0] == pytest.approx(2 / 3)
    assert measured["unreadable"][0] == pytest.approx(1 / 3)
    assert measured["nll"][0] == pytest.approx(-(np.log(0.8) + np.log(0.7)) / 2)


def test_a_probability_of_zero_leaves_the_likelihood_finite() -> None:
    answers = answers_of([1], None, [[1.0, 0.0]])
    assert metrics.measure(answers, np.ones((1, 1)))["nll"][0] == pytest.approx(-np.log(1e-12))


def test_what_cannot_be_measured_is_not_a_number() -> None:
    answers = answers_of([0, 0], None, [[0.8, 0.2], [0.7, 0.3]])
    measured = metrics.measure(answers, np.array([[1.0, 1.0], [0.0, 0.0]]))
    assert np.isnan(measured["auroc"][0])
    assert measured["weighted_f1"][0] == 1
    assert all(np.isnan(one[1]) for one in measured.values())


def test_every_metric_is_described() -> None:
    answers = answers_of([0, 1], None, [[0.8, 0.2], [0.7, 0.3]])
    assert set(metrics.measure(answers, np.ones((1, 2)))) == set(metrics.METRICS)
