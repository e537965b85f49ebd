"""The choice between forms, and that what is reported never saw the post it is reported on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.training.calibrate.made_reads import made_reads
from training.calibrate.fit import Form, negative_log_likelihood
from training.calibrate.options import Criterion
from training.calibrate.select import Settings, choose, deal, held_out
from training.errors import DataError


def test_a_post_is_in_one_fold_whatever_is_asked_of_it():
    questions = {name: made_reads(name, 60, a_post=2) for name in ("stress", "depression")}
    folds = deal(questions, 5, seed=3)
    assert set(folds) == {f"post-{number}" for number in range(30)}
    assert set(Counter(folds.values()).values()) == {6}
    assert folds == deal(questions, 5, seed=3)
    assert folds != deal(questions, 5, seed=4)


def test_fewer_posts_than_folds_are_refused():
    with pytest.raises(DataError, match="3 posts cannot be dealt into 5 folds"):
        deal({"stress": made_reads(rows=3)}, 5, seed=0)


@pytest.mark.parametrize(
    ("temperature", "bias", "form"),
    [(3.0, None, Form.TEMPERATURE), (1.0, (1.2, -1.2), Form.TEMPERATURE_AND_BIAS)],
)
def test_the_fault_of_the_reads_decides_the_form(temperature, bias, form):
    questions = {"stress": made_reads(rows=2000, temperature=temperature, bias=bias)}
    chosen = choose(questions, deal(questions, 5, 0), Settings())["stress"]
    assert chosen.form is form
    assert chosen.reason is None


def test_a_form_is_kept_only_where_it_improves_held_out_posts():
    kept = []
    for seed in range(8):
        questions = {"stress": made_reads(rows=60, seed=seed)}  # nothing to mend
        chosen = choose(questions, deal(questions, 5, seed), Settings())["stress"]
        losses = {form: one.negative_log_likelihood for form, one in chosen.measured.items()}
        assert losses[chosen.form] == min(losses.values())
        kept.append(chosen.form)
        if chosen.form is Form.IDENTITY:
            assert chosen.parameters.log_temperature == 0
            assert not chosen.parameters.bias.any()
    assert Form.IDENTITY in kept


def test_held_out_probabilities_do_not_depend_on_their_own_references():
    questions = {
        name: made_reads(name, 300, temperature=2.5, bias=(0.5, -0.5), seed=seed)
        for seed, name in enumerate(("wellness.social", "wellness.physical", "stress"))
    }
    folds, settings = deal(questions, 5, 0), Settings()
    before = held_out(questions, folds, settings)
    inside = np.array([folds[post] == 2 for post in questions["stress"].posts])
    for reads in questions.values():
        reads.references[inside] = 1 - reads.references[inside]
    after = held_out(questions, folds, settings)
    for name in questions:
        assert (after[name][inside] == before[name][inside]).all()
        assert (after[name][~inside] != before[name][~inside]).any()


def test_calibration_improves_held_out_likelihood():
    questions = {"stress_cause": made_reads("stress_cause", 500, temperature=3.0)}
    reads = questions["stress_cause"]
    after = held_out(questions, deal(questions, 5, 0), Settings())["stress_cause"]
    before = negative_log_likelihood(reads.log_probabilities, reads).mean()
    assert negative_log_likelihood(after, reads).mean() < before - 0.1


def test_a_question_with_few_rows_is_left_alone():
    questions = {"stress": made_reads(rows=49, temperature=4.0)}
    chosen = choose(questions, deal(questions, 5, 0), Settings())["stress"]
    assert chosen.form is Form.IDENTITY
    assert chosen.reason == "49 rows are fewer than 50"
    assert not chosen.measured


def test_pooled_questions_count_together():
    names = (
        "interpersonal_risk.thwarted_belongingness",
        "interpersonal_risk.perceived_burdensomeness",
    )
    questions = {
        name: made_reads(name, 40, temperature=4.0, seed=seed) for seed, name in enumerate(names)
    }
    chosen = choose(questions, deal(questions, 5, 0), Settings())
    assert {one.form for one in chosen.values()} <= {Form.TEMPERATURE, Form.TEMPERATURE_AND_BIAS}


def test_weighted_f1_can_decide():
    questions = {"stress_cause": made_reads("stress_cause", 400, temperature=2.0, seed=5)}
    folds = deal(questions, 5, 0)
    settings = Settings(criterion=Criterion.WEIGHTED_F1)
    chosen = choose(questions, folds, settings)["stress_cause"]
    before = chosen.measured[Form.IDENTITY].negative_log_likelihood
    allowed = [
        one.weighted_f1
        for form, one in chosen.measured.items()
        if form is Form.IDENTITY or one.negative_log_likelihood < before
    ]
    assert chosen.measured[chosen.form].weighted_f1 == max(allowed)
