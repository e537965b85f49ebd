"""Resamples of posts: what is drawn, how often, and that figures on them are scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lazy import sklearn
from tests.training.evaluate.made_records import made_records
from training.evaluate.bootstrap import Estimate, Resamples, estimate, interval, to_figure
from training.evaluate.metrics import Answers
from training.evaluate.results import READ, BootstrapSettings
from training.evaluate.summary import ways_of

POSTS = [(f"post {place}", "DR") for place in range(30)]


def read_answers(set_id: str, resamples: int, posts: int = 40) -> tuple[Answers, Resamples]:
    records = made_records((set_id,), posts)
    drawn = Resamples.draw(
        ((one.post_key, one.set) for one in records), BootstrapSettings(resamples=resamples)
    )
    return dict(ways_of(records, {}))[READ].to_answers(drawn), drawn


@pytest.mark.parametrize("set_id", ["DR", "SAD", "IRF"])
def test_each_resample_is_measured_as_scikit_learn_would(set_id: str) -> None:
    answers, drawn = read_answers(set_id, 30)
    measured = estimate(answers, drawn)
    for place in range(30):
        copies = drawn.counts[place][answers.posts]
        rows = np.repeat(np.arange(copies.size), copies)
        expected = sklearn.f1_score(
            answers.references[rows], answers.predictions[rows], average="weighted"
        )
        assert measured["weighted_f1"].samples[place] == pytest.approx(expected)
        if set_id == "DR":
            assert answers.probabilities is not None
            assert measured["auroc"].samples[place] == pytest.approx(
                sklearn.roc_auc_score(answers.references[rows] == 0, answers.probabilities[rows, 0])
            )


def test_posts_are_drawn_and_not_rows() -> None:
    answers, drawn = read_answers("MultiWD", 5)
    weights = drawn.counts[:, answers.posts]
    for post in np.unique(answers.posts):
        of_post = weights[:, answers.posts == post]
        assert of_post.shape[1] == 6
        assert (of_post == of_post[:, :1]).all()


def test_every_set_keeps_its_number_of_posts() -> None:
    posts = [*POSTS, *((f"post {place}", "SAD") for place in range(20, 60))]
    drawn = Resamples.draw(posts, BootstrapSettings(resamples=50))
    for set_id, size in (("DR", 30), ("SAD", 40)):
        places = [drawn.places[key] for key, of in posts if of == set_id]
        assert (drawn.counts[:, places].sum(axis=1) == size).all()


def test_a_post_of_two_sets_is_drawn_once_for_both() -> None:
    posts = [*POSTS, *((key, "SAD") for key, _ in POSTS[:10])]
    assert len(Resamples.draw(posts, BootstrapSettings(resamples=3)).places) == 30


def test_draws_depend_on_seed_and_posts_alone() -> None:
    drawn = Resamples.draw(POSTS, BootstrapSettings(resamples=20))
    shuffled = Resamples.draw(reversed(POSTS * 2), BootstrapSettings(resamples=20))
    assert shuffled.places == drawn.places
    np.testing.assert_array_equal(shuffled.counts, drawn.counts)
    other = Resamples.draw(POSTS, BootstrapSettings(resamples=20, seed=1))
    assert (other.counts != drawn.counts).any()
    # A further set leaves the draws of the first as they are.
    more = Resamples.draw([*POSTS, ("another", "SAD")], BootstrapSettings(resamples=20))
    np.testing.assert_array_equal(
        more.counts[:, [more.places[key] for key, _ in POSTS]],
        drawn.counts[:, [drawn.places[key] for key, _ in POSTS]],
    )


def test_the_interval_of_a_share_is_as_wide_as_theory_says() -> None:
    answers, drawn = read_answers("DR", 2000, posts=400)
    accuracy = estimate(answers, drawn)["accuracy"]
    bounds = interval(accuracy.samples, 0.95)
    assert bounds is not None
    error = np.sqrt(accuracy.value * (1 - accuracy.value) / 400)
    assert bounds[0] == pytest.approx(accuracy.value - 1.96 * error, abs=0.01)
    assert bounds[1] == pytest.approx(accuracy.value + 1.96 * error, abs=0.01)


def test_without_resamples_there_is_no_interval() -> None:
    answers, drawn = read_answers("DR", 0)
    figure = to_figure(estimate(answers, drawn)["weighted_f1"], 0.95)
    assert figure.value is not None
    assert figure.interval is None


def test_resamples_that_cannot_be_measured_are_left_out() -> None:
    assert interval(np.array([np.nan, 0.5, 0.5]), 0.95) == (0.5, 0.5)
    assert interval(np.array([np.nan]), 0.95) is None
    assert to_figure(Estimate(float("nan"), np.array([0.5])), 0.95).value is None


def test_the_interval_of_a_calibration_error_lies_around_it() -> None:
    # On so few rows every resample's error is larger than the data's own.
    answers, drawn = read_answers("SAD", 500, posts=40)
    for metric in ("ece", "ece_adaptive"):
        error = estimate(answers, drawn)[metric]
        assert error.samples.mean() == pytest.approx(error.value, abs=0.01)
        assert error.samples.min() >= 0
