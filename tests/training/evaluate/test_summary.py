"""From records to results: ways, slices, baselines, counts, means."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.lazy import sklearn
from tests.training.evaluate.made_records import made_records, with_free_form
from training.errors import DataError
from training.evaluate.records import Record
from training.evaluate.results import (
    FREE_FORM,
    READ,
    READ_UNCALIBRATED,
    BootstrapSettings,
    DataSummary,
    ModelSummary,
    Results,
)
from training.evaluate.summary import summarise

QUICK = BootstrapSettings(resamples=20)


def summary_of(records: list[Record], **more: object) -> Results:
    return summarise(
        records,
        model=ModelSummary(name="tiny"),
        data=DataSummary(name="made up", checksum="0" * 64),
        split="val",
        command="mentalllama-train evaluate tiny",
        environment={"python": "3.11"},
        **({"bootstrap": QUICK} | more),  # type: ignore[arg-type]
    )


def read_label(record: Record) -> str:
    assert record.read
    return max(record.read.probabilities, key=record.read.probabilities.__getitem__)


@pytest.mark.parametrize("set_id", ["DR", "SAD", "MultiWD"])
def test_a_set_is_scored_over_all_its_rows(set_id: str) -> None:
    records = made_records((set_id,), 30)
    one = summary_of(records).sets[0]
    expected = sklearn.f1_score(
        [record.reference for record in records],
        [read_label(record) for record in records],
        average="weighted",
    )
    figure = one.ways[READ].all.figures["weighted_f1"]
    assert figure.value == pytest.approx(expected, abs=1e-6)
    assert figure.interval is not None
    assert figure.interval[0] <= figure.value <= figure.interval[1]
    assert (one.rows, one.posts) == (len(records), 30)


def test_questions_are_scored_on_their_rows_alone() -> None:
    records = made_records(("IRF",), 30)
    questions = summary_of(records).sets[0].ways[READ].questions
    assert len(questions) == 2
    for question, scores in questions.items():
        asked = [record for record in records if record.question == question]
        assert scores.rows == 30
        assert scores.figures["weighted_f1"].value == pytest.approx(
            sklearn.f1_score(
                [record.reference for record in asked],
                [read_label(record) for record in asked],
                average="weighted",
            ),
            abs=1e-6,
        )


def test_calibrated_and_uncalibrated_reads_share_labels_and_not_probabilities() -> None:
    ways = summary_of(made_records(("DR",))).sets[0].ways
    plain, calibrated = ways[READ_UNCALIBRATED].all.figures, ways[READ].all.figures
    assert plain["weighted_f1"] == calibrated["weighted_f1"]  # a temperature moves no label
    assert plain["nll"].value != calibrated["nll"].value


def test_probabilities_of_zero_are_read() -> None:
    record = made_records(("DR",), 2)[0]
    assert record.read
    sure = {"yes": 0.0, "no": -math.inf}
    records = [replace(record, read=replace(record.read, log_probabilities=sure))]
    figure = summary_of(records).sets[0].ways[READ_UNCALIBRATED].all.figures["brier"]
    assert figure.value == (0 if record.reference == "yes" else 2)


def test_seen_and_unseen_posts_part_the_rows() -> None:
    way = summary_of(made_records(("DR",), 40)).sets[0].ways[READ]
    assert way.seen
    assert way.unseen
    assert (way.seen.rows, way.unseen.rows) == (10, 30)


def test_one_post_of_which_it_is_not_known_leaves_seen_and_unseen_out() -> None:
    records = made_records(("DR",), 40)
    one = summary_of([replace(records[0], seen=None), *records[1:]]).sets[0]
    assert not one.seen_known
    assert one.ways[READ].seen is None
    assert one.ways[READ].unseen is None


def test_agreement_with_the_annotators() -> None:
    records = made_records(("DR",), 40)
    known = [record for record in records if record.annotation is not None]
    one = summary_of(records).sets[0]
    assert one.annotation_rows == len(known) < 40
    assert one.annotation_agreement
    same = sum(record.annotation == record.reference for record in known) / len(known)
    assert one.annotation_agreement.value == pytest.approx(same, abs=1e-6)
    against = one.ways[READ].annotation
    assert against
    assert against.figures["weighted_f1"].value == pytest.approx(
        sklearn.f1_score(
            [record.annotation for record in known],
            [read_label(record) for record in known],
            average="weighted",
        ),
        abs=1e-6,
    )


def test_without_annotation_nothing_is_said_of_it() -> None:
    records = [replace(record, annotation=None) for record in made_records(("DR",))]
    one = summary_of(records).sets[0]
    assert one.annotation_agreement is None
    assert one.ways[READ].annotation is None


def test_unreadable_responses_are_wrong_and_counted() -> None:
    records = with_free_form(made_records(("DR",), 40), unreadable_every=4)
    one = summary_of(records).sets[0]
    free, read = one.ways[FREE_FORM], one.ways[READ]
    assert free.all.figures["unreadable"].value == 0.25
    assert free.problems == {"no_label": 10}
    assert sum(row[-1] for row in free.confusion.counts) == 10
    kept = [record for record in records if record.free_form and record.free_form.label is not None]
    assert free.readable
    assert free.readable.rows == 30
    assert free.readable.figures["weighted_f1"].value == pytest.approx(
        sklearn.f1_score(
            [record.reference for record in kept],
            [read_label(record) for record in kept],
            average="weighted",
        ),
        abs=1e-6,
    )
    accuracies = [way.all.figures["accuracy"].value for way in (free, read)]
    assert accuracies[0] is not None
    assert accuracies[1] is not None
    assert accuracies[0] < accuracies[1]
    assert "auroc" not in free.all.figures


def test_free_form_of_a_sample_is_scored_on_the_sample() -> None:
    records = made_records(("DR",), 40)
    one = summary_of(with_free_form(records[:10]) + records[10:]).sets[0]
    assert one.ways[FREE_FORM].all.rows == 10
    assert one.ways[READ].all.rows == 40


def test_a_row_with_an_error_is_wrong() -> None:
    records = with_free_form(made_records(("DR",), 40), unreadable_every=100)
    lost = replace(records[0], read=None, free_form=None, error="text_too_long")
    one = summary_of([lost, *records[1:]]).sets[0]
    for way in (READ, FREE_FORM):
        assert one.ways[way].problems == {"text_too_long": 1}
        assert one.ways[way].all.rows == 40
    # Where only a sample was asked freely, nobody knows whether the lost row was to be in it.
    sampled = [replace(record, free_form=None) for record in records[20:]]
    one = summary_of([lost, *records[1:20], *sampled]).sets[0]
    assert one.ways[FREE_FORM].problems == {}
    assert one.ways[FREE_FORM].all.rows == 19


def test_baselines_are_scored_like_models() -> None:
    records = made_records(("DR", "SAD"), 20)
    given = {record.id: "yes" if record.set == "DR" else record.reference for record in records}
    results = summary_of(records, baselines={"majority": given})
    depression, cause = (one.ways["baseline.majority"].all.figures for one in results.sets)
    assert cause["weighted_f1"].value == 1
    share = sum(record.reference == "yes" for record in records if record.set == "DR") / 20
    assert depression["accuracy"].value == share
    assert "brier" not in depression


def test_the_mean_counts_each_set_once() -> None:
    records = made_records(("DR",), 10) + made_records(("SAD",), 80)
    results = summary_of(records)
    values = [one.ways[READ].all.figures["weighted_f1"].value for one in results.sets]
    assert None not in values
    mean = results.mean[READ]
    assert mean.sets == ("DR", "SAD")
    expected = sum(value for value in values if value is not None) / 2
    assert mean.figures["weighted_f1"].value == pytest.approx(expected, abs=2e-6)


def test_results_do_not_depend_on_the_order_of_records() -> None:
    records = with_free_form(made_records(("DR", "IRF"), 20))
    forward, backward = summary_of(records), summary_of(records[::-1])
    for one, other in zip(forward.sets, backward.sets, strict=True):
        assert one.ways[READ].all == other.ways[READ].all
    assert forward.mean[READ] == backward.mean[READ]


def test_curves_count_every_row_with_probabilities() -> None:
    way = summary_of(made_records(("SAD",), 50)).sets[0].ways[READ]
    assert sum(one.rows for one in way.reliability) == 50
    assert len(way.reliability) == 15
    first, *others = way.coverage
    assert first.coverage == 1
    assert first.accuracy == way.all.figures["accuracy"].value
    assert [one.coverage for one in others] == sorted(
        (one.coverage for one in others), reverse=True
    )
    assert others[-1].coverage < 0.1


@pytest.mark.parametrize(
    "changed", [{"set": "nowhere"}, {"question": "stress"}, {"reference": "maybe"}]
)
def test_records_of_another_release_are_refused(changed: dict[str, str]) -> None:
    records = made_records(("DR",), 3)
    with pytest.raises(DataError) as caught:
        summary_of([replace(records[0], **changed), *records[1:]])
    assert "canal" not in caught.value.message


def test_no_records_are_refused() -> None:
    with pytest.raises(DataError, match="nothing to measure"):
        summary_of([])
