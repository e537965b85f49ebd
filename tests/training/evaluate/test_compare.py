"""Two runs on the same data: differences, their intervals, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.evaluate.made_records import made_records, with_free_form
from tests.training.evaluate.test_summary import summary_of
from training.errors import DataError, UsageError
from training.evaluate.compare import compare_records, compare_runs
from training.evaluate.comparison_content import comparison_document
from training.evaluate.records import Record
from training.evaluate.report_markdown import to_markdown
from training.evaluate.reports import write_reports
from training.evaluate.results import FREE_FORM, READ, READ_UNCALIBRATED, BootstrapSettings
from training.evaluate.store import write_records

pytestmark = pytest.mark.usefixtures("no_drawings")

SETTINGS = BootstrapSettings(resamples=200)
READS = {"way_a": READ, "way_b": READ, "bootstrap": SETTINGS}


def run(folder: Path, records: list[Record]) -> Path:
    folder.mkdir()
    write_records(folder, records)
    write_reports(folder, summary_of(records))
    return folder


def test_a_run_differs_from_itself_by_nothing() -> None:
    records = made_records(("DR", "SAD"), 40)
    sets, mean = compare_records(records, records[::-1], **READS)
    for metrics in (*(one.metrics for one in sets), mean):
        for one in metrics.values():
            assert (one.difference, one.interval, one.p_value) == (0, (0, 0), 1)
    for one in sets:
        assert one.same_label == 1
        assert (one.flips.only_a, one.flips.only_b, one.flips.p_value) == (0, 0, 1)


def test_differences_are_b_minus_a_and_paired() -> None:
    weak, strong = made_records(skill=0.5), made_records(skill=4, seed=1)
    sets, mean = compare_records(weak, strong, **READS)
    back, _ = compare_records(strong, weak, **READS)
    for one, other in zip(sets, back, strict=True):
        forward, reverse = one.metrics["weighted_f1"], other.metrics["weighted_f1"]
        assert forward.difference == pytest.approx(forward.b - forward.a, abs=2e-6)
        assert forward.difference == -reverse.difference > 0
        assert forward.interval is not None
        assert reverse.interval is not None
        assert forward.interval[0] == pytest.approx(-reverse.interval[1], abs=2e-6)
        assert forward.p_value == reverse.p_value
    assert mean["weighted_f1"].interval is not None
    assert mean["weighted_f1"].interval[0] > 0
    assert mean["weighted_f1"].p_value == pytest.approx(2 / 201, abs=1e-6)
    # Better is lower here.
    assert mean["nll"].difference < 0


def test_pairing_makes_the_interval_narrower() -> None:
    records = made_records(("SAD",), 80)
    # B is A, but for five rows.
    changed = [
        replace(record, read=other.read) if place < 5 else record
        for place, (record, other) in enumerate(
            zip(records, made_records(("SAD",), 80, seed=9), strict=True)
        )
    ]
    difference = compare_records(records, changed, **READS)[0][0].metrics["accuracy"]
    alone = summary_of(records, bootstrap=SETTINGS).sets[0].ways[READ].all.figures["accuracy"]
    assert difference.interval is not None
    assert alone.interval is not None
    paired, single = (high - low for low, high in (difference.interval, alone.interval))
    assert paired < single / 2


def test_flips_are_counted_and_tested() -> None:
    from scipy.stats import binomtest

    a, b = made_records(("SAD",), 60, skill=0.5), made_records(("SAD",), 60, skill=3, seed=3)
    flips = compare_records(a, b, **READS)[0][0].flips
    assert flips.both + flips.only_a + flips.only_b + flips.neither == 60
    assert flips.only_b > flips.only_a
    expected = binomtest(flips.only_a, flips.only_a + flips.only_b).pvalue
    assert flips.p_value == pytest.approx(expected, abs=1e-6)


def test_other_ways_are_compared_on_the_rows_that_both_answered() -> None:
    records = made_records(("DR",), 40)
    sampled = with_free_form(records[:15], unreadable_every=5) + records[15:]
    ways = {"way_a": READ, "way_b": FREE_FORM, "bootstrap": SETTINGS}
    (one,), _ = compare_records(sampled, sampled, **ways)
    assert one.rows == 15
    assert one.flips.only_b == 0
    assert "brier" not in one.metrics


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda records: records[:-1], "1 rows are in A alone, 0 in B"),
        (lambda records: [*records, *made_records(("SAD",), 2)], "0 rows are in A alone, 2 in B"),
        (
            lambda records: [replace(records[0], post_key="0" * 16), *records[1:]],
            "and 1 have another post",
        ),
    ],
)
def test_other_data_are_refused(change: object, said: str) -> None:
    records = made_records(("DR",), 10)
    with pytest.raises(DataError, match=said):
        compare_records(records, change(records), **READS)  # type: ignore[operator]


def test_ways_that_were_not_answered_are_refused() -> None:
    records = made_records(("DR",), 10)
    with pytest.raises(DataError, match="evaluate"):
        compare_records(records, records, way_a=READ, way_b=FREE_FORM, bootstrap=SETTINGS)


def test_folders_are_compared_and_reported(tmp_path: Path) -> None:
    a = run(tmp_path / "first", made_records(("DR", "IRF"), 30))
    b = run(tmp_path / "second", made_records(("DR", "IRF"), 30, skill=3, seed=2))
    comparison = compare_runs(a, b, bootstrap=SETTINGS)
    assert (comparison.a.run, comparison.b.run) == ("first", "second")
    text = to_markdown(comparison_document(comparison))
    assert "no diagnosis" in text
    assert str(tmp_path) not in text
    assert "canal" not in text
    assert f"+{comparison.mean['weighted_f1'].difference * 100:.1f}" in text


def test_a_run_is_compared_with_itself_only_by_another_way(tmp_path: Path) -> None:
    a = run(tmp_path / "first", made_records(("DR",), 30))
    with pytest.raises(UsageError, match="--way-b"):
        compare_runs(a, tmp_path / "." / "first", bootstrap=SETTINGS)
    comparison = compare_runs(a, a, way_a=READ_UNCALIBRATED, way_b=READ, bootstrap=SETTINGS)
    assert comparison.sets[0].same_label == 1
    assert comparison.mean["nll"].difference != 0


def test_an_unknown_way_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="guess"):
        compare_runs(tmp_path, tmp_path, way_a="guess")
