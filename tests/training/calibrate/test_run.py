"""A calibration from records to the manifest and the report beside it."""

from __future__ import annotations

import hashlib
import json

import pytest

from imhi.tasks import QUESTIONS, WORDING_VERSION
from service.analysis.manifest import (
    CalibrationEntry,
    Manifest,
    PromptStyle,
    Result,
    load_manifest,
    write_manifest,
)
from tests.training.calibrate.made_reads import as_records, made_reads
from training.calibrate.options import Policy
from training.calibrate.report import CalibrationReport, markdown
from training.calibrate.run import PolicySettings, calibrate, write
from training.errors import DataError
from training.export.files import write_checksums

MANIFEST = Manifest(
    schema_version=1,
    name="small",
    prompt_style=PromptStyle.BARE,
    wording_version=WORDING_VERSION,
    calibration={
        "stress": CalibrationEntry(temperature=1.5),
        "mental_disorder.swmh": CalibrationEntry(temperature=2.0),
    },
    results=(
        Result(set="DR", split="val", metric="weighted_f1", value=0.5, command="an old command"),
    ),
)


def records():
    return [
        *as_records(made_reads("stress", 300, temperature=4.0), "dreaddit"),
        *as_records(made_reads("wellness.social", 200, temperature=3.0, seed=1), "MultiWD"),
        *as_records(made_reads("wellness.physical", 200, temperature=3.0, seed=2), "MultiWD"),
        *as_records(made_reads("depression", 10, seed=3), "DR"),
        *as_records(made_reads("stress", 50, seed=4), "dreaddit", split="train"),
    ]


@pytest.fixture(scope="module")
def calibrated():
    return calibrate(MANIFEST, records(), split="val", resamples=50)


def test_numbers_are_of_the_rows_and_questions_of_the_split(calibrated):
    manifest, report = calibrated
    assert {name: one.measured.rows for name, one in report.questions.items()} == {
        "depression": 10,
        "stress": 300,
        "wellness.physical": 200,
        "wellness.social": 200,
    }
    assert manifest.calibration["stress"].temperature == pytest.approx(4.0, rel=0.3)
    assert manifest.calibration["stress"] == report.questions["stress"].entry
    assert "depression" not in manifest.calibration
    assert report.questions["depression"].reason == "10 rows are fewer than 50"
    assert set(report.without_rows) | set(report.questions) == set(QUESTIONS)


def test_a_question_without_rows_keeps_its_numbers(calibrated):
    manifest, report = calibrated
    assert manifest.calibration["mental_disorder.swmh"].temperature == 2.0
    assert "mental_disorder.swmh" in report.without_rows
    assert report.replaced == MANIFEST.calibration


def test_the_calibration_error_falls_on_held_out_posts(calibrated):
    _, report = calibrated
    assert set(report.sets) == {"dreaddit", "MultiWD", "DR"}
    for name in ("dreaddit", "MultiWD"):
        measured = report.sets[name]
        assert measured.after["ece"].value < measured.before["ece"].value / 2
        assert measured.after["nll"].value < measured.before["nll"].value
        low, high = measured.after["ece"].interval
        assert low <= high
    three = [one.after["nll"].value for one in report.sets.values()]
    assert report.mean.after["nll"].value == pytest.approx(sum(three) / 3, abs=1e-5)
    assert (report.mean.rows, report.sets["MultiWD"].rows) == (710, 400)


def test_a_calibrated_error_is_told_apart_from_chance(calibrated):
    _, report = calibrated
    stress = report.sets["dreaddit"]
    low, high = stress.chance.interval
    assert low < stress.chance.value < high
    assert stress.after["ece"].value < high < stress.before["ece"].value
    # Fewer rows, more chance.
    assert report.sets["DR"].chance.value > stress.chance.value
    three = [one.chance.value for one in report.sets.values()]
    assert report.mean.chance.value == pytest.approx(sum(three) / 3, abs=1e-5)
    assert "ECE if exact" in markdown(report)


def test_results_replace_those_of_another_calibration(calibrated):
    manifest, report = calibrated
    assert {result.metric for result in manifest.results} == {"ece", "weighted_f1"}
    found = {(result.set, result.metric): result.value for result in manifest.results}
    assert found["dreaddit", "ece"] == report.sets["dreaddit"].after["ece"].value
    assert manifest.results[0].command == "mentalllama-train calibrate small --data DIR --split val"


def test_the_policy_is_recommended_and_not_written(calibrated):
    manifest, report = calibrated
    assert report.recommended.written == ()
    assert manifest.policy == MANIFEST.policy
    least = report.recommended.min_probability
    assert least is not None
    point = next(one for one in report.abstention if one.min_probability == least)
    assert point.accuracy >= 0.9
    assert report.recommended.coverage == point.coverage


def test_the_policy_is_written_where_that_is_asked_for():
    settings = PolicySettings(Policy.ABSTENTION, target_accuracy=0.8)
    manifest, report = calibrate(MANIFEST, records(), split="val", policy=settings, resamples=0)
    assert report.recommended.written == ("min_probability",)
    assert manifest.policy.min_probability == report.recommended.min_probability
    assert manifest.policy.thresholds == {}
    assert report.command.endswith("--policy abstention")


def test_a_split_without_reads_is_refused():
    with pytest.raises(DataError, match="splits with some: train, val"):
        calibrate(MANIFEST, records(), split="test")


def test_a_label_of_another_question_is_refused():
    [record, *others] = as_records(made_reads(rows=60), "dreaddit")
    wrong = [type(record)(**{**_fields(record), "reference": "maybe"}), *others]
    with pytest.raises(DataError, match="does not have the labels of question 'stress'"):
        calibrate(MANIFEST, wrong, split="val")


def _fields(record):
    return {name: getattr(record, name) for name in record.__slots__}


def test_the_report_is_read_back_and_holds_no_post(calibrated):
    _, report = calibrated
    text = report.model_dump_json()
    assert CalibrationReport.model_validate_json(text) == report
    assert "canal" not in text + markdown(report)


def test_markdown_has_a_row_for_every_set_and_question(calibrated):
    _, report = calibrated
    lines = markdown(report).splitlines()
    for name in (*report.sets, *QUESTIONS, "**mean**"):
        assert any(line.startswith(f"| {name} |") for line in lines), name
    widths = {line.count("|") for line in lines if line.startswith("| ") and "temperature" in line}
    assert widths == {13}
    swmh = next(line for line in lines if line.startswith("| mental_disorder.swmh |"))
    assert "no rows" in swmh
    assert swmh.count("|") == 13


def test_writing_keeps_checksums_and_card_true(calibrated, tmp_path):
    manifest, report = calibrated
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    write_manifest(tmp_path, MANIFEST)
    write_checksums(tmp_path)
    write(tmp_path, manifest, report)
    assert load_manifest(tmp_path) == manifest
    lines = (tmp_path / "checksums.sha256").read_text().splitlines()
    named = {line[66:]: line[:64] for line in lines}
    assert set(named) == {
        "README.md",
        "calibration.json",
        "calibration.md",
        "mentalllama.json",
        "model.safetensors",
    }
    for name, digest in named.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    assert json.loads((tmp_path / "calibration.json").read_text())["model"] == "small"
    assert "## Calibration" in (tmp_path / "README.md").read_text()
