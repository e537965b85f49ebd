"""A calibration from records to the files beside a model's weights.

Records of label reads go in. `calibrate` chooses and fits the numbers, measures them on held-out
posts and makes a `CalibrationReport`; `write` puts the numbers into the manifest and the report
beside it. Nothing is loaded but records: the model itself is not needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from imhi.tasks import QUESTIONS, WORDING_VERSION
from service.analysis.manifest import (
    CalibrationEntry,
    Manifest,
    PolicyEntry,
    Result,
    write_manifest,
)
from training.calibrate.curves import (
    AbstentionPoint,
    abstention_curve,
    best_threshold,
    least_probability,
    threshold_curve,
    top_label,
)
from training.calibrate.fit import Form
from training.calibrate.measure import (
    Part,
    error_by_chance,
    estimates,
    figures,
    means,
    of_set,
)
from training.calibrate.options import Policy
from training.calibrate.reads import reads_of
from training.calibrate.report import (
    MARKDOWN_FILE,
    REPORT_FILE,
    BeforeAfter,
    CalibrationReport,
    QuestionReport,
    Recommended,
    markdown,
)
from training.calibrate.select import Chosen, Settings, choose, deal, held_out
from training.errors import DataError, ModelFilesError
from training.evaluate.bootstrap import Resamples, mean_estimate, to_figure
from training.evaluate.records import Record
from training.evaluate.results import BootstrapSettings

RESULT_METRICS = ("ece", "weighted_f1")
"""What of a set's held-out figures goes into the manifest."""


@dataclasses.dataclass(frozen=True, slots=True)
class PolicySettings:
    """How policy values are recommended.

    Attributes:
        written: what of them goes into the manifest.
        target_accuracy: what the rows that are decided should reach, from 0 to 1.
        gain: least gain in weighted F1 that a threshold is worth, from 0 to 1.
    """

    written: Policy = Policy.NONE
    target_accuracy: float = 0.9
    gain: float = 0.01


def check_wording(manifest: Manifest) -> None:
    """See that the model's wording is the one that questions are asked in.

    Raises:
        ModelFilesError: it is another.
    """
    if manifest.wording_version != WORDING_VERSION:
        raise ModelFilesError(
            f"The model {manifest.name!r} was made for the wording {manifest.wording_version!r}, "
            f"and this release asks its questions in {WORDING_VERSION!r}: a calibration would not "
            "hold. Train it again with this release, or use the release of its wording."
        )


def calibrate(
    manifest: Manifest,
    records: Iterable[Record],
    *,
    split: str,
    settings: Settings | None = None,
    policy: PolicySettings | None = None,
    resamples: int = 1000,
) -> tuple[Manifest, CalibrationReport]:
    """Calibrate a model on its records.

    Args:
        manifest: the model's.
        records: label reads of the model, of one split or several.
        split: the split whose records are used.
        settings: how to fit and choose.
        policy: what to recommend, and what of it to write.
        resamples: of the intervals; 0 leaves them out.

    Returns:
        The manifest with the new numbers, and the report.

    Raises:
        DataError: there are no reads of that split, or fewer posts than folds.
        ModelFilesError: the model's wording is not this release's.
    """
    check_wording(manifest)
    settings, policy = settings or Settings(), policy or PolicySettings()
    listed = list(records)
    questions = reads_of(record for record in listed if record.split == split)
    if not questions:
        known = ", ".join(sorted({record.split for record in listed if record.read})) or "none"
        raise DataError(f"There are no label reads of split {split!r}; splits with some: {known}.")
    # In the order of the release, whatever the records' order is.
    questions = {name: questions[name] for name in QUESTIONS if name in questions}
    folds = deal(questions, settings.folds, settings.seed)
    chosen = choose(questions, folds, settings)
    unseen = held_out(questions, folds, settings)

    before = {name: (reads, reads.log_probabilities) for name, reads in questions.items()}
    after = {name: (reads, unseen[name]) for name, reads in questions.items()}
    drawn = Resamples.draw(
        [
            pair
            for reads in questions.values()
            for pair in zip(reads.posts, reads.sets, strict=True)
        ],
        BootstrapSettings(resamples=resamples, seed=settings.seed),
    )
    sets, mean = _sets(before, after, drawn, settings.seed)
    reports = {
        name: _question(chosen[name], before[name], after[name], drawn, settings.seed)
        for name in questions
    }
    top = [top_label(logs, reads) for reads, logs in after.values()]
    curve = abstention_curve(
        np.concatenate([values for values, _ in top]), np.concatenate([right for _, right in top])
    )
    report = CalibrationReport(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=manifest.name,
        wording_version=manifest.wording_version,
        split=split,
        command=_command(manifest, split, settings, policy),
        settings=settings,
        questions=reports,
        without_rows=tuple(name for name in QUESTIONS if name not in questions),
        sets=sets,
        mean=mean,
        abstention=curve,
        recommended=_recommend(reports, curve, policy),
        replaced=manifest.calibration,
    )
    return _manifest(manifest, report), report


def write(directory: Path, manifest: Manifest, report: CalibrationReport) -> None:
    """Write the manifest and the report; card and checksums, where they stand, are made again.

    The report is written first: a manifest with new numbers never stands without it.

    Raises:
        ModelError, ModelFilesError: a file cannot be written.
    """
    from service.weights import CHECKSUMS_FILE
    from training.export.card import refresh_card
    from training.export.files import write_checksums, write_text

    write_text(directory / REPORT_FILE, report.model_dump_json(indent=2) + "\n")
    write_text(directory / MARKDOWN_FILE, markdown(report))
    write_manifest(directory, manifest)
    refresh_card(directory, manifest)
    if (directory / CHECKSUMS_FILE).is_file():
        write_checksums(directory)


def _sets(
    before: Mapping[str, Part], after: Mapping[str, Part], drawn: Resamples, seed: int
) -> tuple[dict[str, BeforeAfter], BeforeAfter]:
    """Every set's figures, in the release's order, and their mean."""
    names = dict.fromkeys(name for reads, _ in before.values() for name in reads.sets)
    sets, all_before, all_after, all_chance = {}, [], [], []
    for number, name in enumerate(names):
        parts, calibrated = of_set(before, name), of_set(after, name)
        all_before.append(estimates(parts, drawn))
        all_after.append(estimates(calibrated, drawn))
        # Draws of their own for each set: the mean is over errors that have nothing in common.
        all_chance.append(error_by_chance(calibrated, drawn.places, seed + number))
        sets[name] = BeforeAfter(
            rows=sum(len(reads) for reads, _ in parts),
            posts=len({post for reads, _ in parts for post in reads.posts}),
            before=figures(all_before[-1]),
            after=figures(all_after[-1]),
            chance=to_figure(all_chance[-1], 0.95),
        )
    mean = BeforeAfter(
        rows=sum(one.rows for one in sets.values()),
        posts=len(drawn.places),
        before=figures(means(all_before)),
        after=figures(means(all_after)),
        chance=to_figure(mean_estimate(all_chance), 0.95),
    )
    return sets, mean


def _question(
    chosen: Chosen, before: Part, after: Part, drawn: Resamples, seed: int
) -> QuestionReport:
    reads, logs = after
    numbers = chosen.parameters.to_calibration(reads)
    return QuestionReport(
        form=chosen.form,
        entry=CalibrationEntry(temperature=numbers.temperature, bias=dict(numbers.bias)),
        reason=chosen.reason,
        trials=chosen.measured,
        measured=BeforeAfter(
            rows=len(reads),
            posts=len(set(reads.posts)),
            before=figures(estimates([before], drawn)),
            after=figures(estimates([after], drawn)),
            chance=to_figure(error_by_chance([after], drawn.places, seed), 0.95),
        ),
        thresholds={
            label.id: threshold_curve(logs, reads, label.id)
            for label in reads.question.labels
            if label.id != reads.question.negative
        },
        abstention=abstention_curve(*top_label(logs, reads)),
    )


def _recommend(
    reports: Mapping[str, QuestionReport],
    curve: tuple[AbstentionPoint, ...],
    policy: PolicySettings,
) -> Recommended:
    thresholds: dict[str, dict[str, float]] = {}
    for name, report in reports.items():
        for label, points in report.thresholds.items():
            if (point := best_threshold(points, policy.gain)) is not None:
                thresholds.setdefault(name, {})[label] = point.threshold
    least = least_probability(curve, policy.target_accuracy)
    written = []
    if thresholds and policy.written in (Policy.THRESHOLDS, Policy.BOTH):
        written.append("thresholds")
    if least is not None and policy.written in (Policy.ABSTENTION, Policy.BOTH):
        written.append("min_probability")
    return Recommended(
        thresholds=thresholds,
        gain=policy.gain,
        min_probability=least.min_probability if least else None,
        target_accuracy=policy.target_accuracy,
        coverage=least.coverage if least else None,
        accuracy=least.accuracy if least else None,
        written=tuple(written),
    )


def _manifest(manifest: Manifest, report: CalibrationReport) -> Manifest:
    """The manifest with the report's numbers.

    A question without rows keeps its numbers. Earlier results go: they were measured with another
    calibration.
    """
    calibration = {
        name: entry for name, entry in manifest.calibration.items() if name in report.without_rows
    }
    calibration |= {
        name: question.entry
        for name, question in report.questions.items()
        if question.form is not Form.IDENTITY
    }
    recommended, entry = report.recommended, manifest.policy.model_dump()
    if "thresholds" in recommended.written:
        entry["thresholds"] = recommended.thresholds
    if "min_probability" in recommended.written:
        entry["min_probability"] = recommended.min_probability
    results = tuple(
        Result(
            set=name,
            split=report.split,
            metric=metric,
            value=value,
            interval=figure.interval,
            command=report.command,
        )
        for name, measured in report.sets.items()
        for metric in RESULT_METRICS
        if (value := (figure := measured.after[metric]).value) is not None
    )
    return manifest.model_copy(
        update={
            "calibration": {name: calibration[name] for name in QUESTIONS if name in calibration},
            "policy": PolicyEntry(**entry),
            "results": results,
        }
    )


def _command(manifest: Manifest, split: str, settings: Settings, policy: PolicySettings) -> str:
    """The command, with the model's name and without paths; options that are not the defaults."""
    usual = Settings()
    chosen = {
        name: value
        for name in ("folds", "seed", "min_rows", "criterion")
        if (value := getattr(settings, name)) != getattr(usual, name)
    }
    options = [f"--split {split}"]
    options += [f"--{name.replace('_', '-')} {value}" for name, value in chosen.items()]
    if policy.written is not Policy.NONE:
        options.append(f"--policy {policy.written}")
    return " ".join(["mentalllama-train calibrate", manifest.name, "--data DIR", *options])
