"""The report of a calibration: the form of `calibration.json`, and the same in Markdown.

It stands beside the manifest. Figures are measured on posts that had no part in making the numbers
they are measured with. No field holds any of a post. The descriptions here are the file's
documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.analysis.manifest import CalibrationEntry
from training.calibrate.curves import AbstentionPoint, ThresholdPoint
from training.calibrate.fit import Form
from training.calibrate.select import Measured, Settings
from training.evaluate.results import Figure

REPORT_FILE = "calibration.json"
MARKDOWN_FILE = "calibration.md"

Count = Annotated[int, Field(ge=0)]

_FIGURES = (
    "ECE before",
    "ECE after",
    "ECE if exact",
    "NLL before",
    "NLL after",
    "weighted F1 before",
    "weighted F1 after",
)


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BeforeAfter(_Entry):
    """Some rows before and after calibration, on held-out posts."""

    rows: Count = Field(description="Rows: a post and a question each.")
    posts: Count = Field(description="Different posts among them.")
    before: Mapping[str, Figure] = Field(
        description="Metric id to its figure on the probabilities as the model read them."
    )
    after: Mapping[str, Figure] = Field(
        description="Metric id to its figure with numbers chosen and fitted on other posts."
    )
    chance: Figure = Field(
        description="The calibration error that `after` would show on so few rows if its "
        "probabilities were exact: the mean, and where 95% of such errors lie."
    )


class QuestionReport(_Entry):
    """One question."""

    form: Form = Field(description="What was kept: nothing, a temperature, or biases too.")
    entry: CalibrationEntry = Field(description="The numbers in the manifest, fitted on all rows.")
    reason: str | None = Field(
        default=None, description="Why the question was left as it is without a trial."
    )
    trials: Mapping[Form, Measured] = Field(
        default_factory=dict,
        description="Each form's mean negative log-likelihood (nats) and weighted F1 on held-out "
        "folds, by which the form was chosen.",
    )
    measured: BeforeAfter
    thresholds: Mapping[str, tuple[ThresholdPoint, ...]] = Field(
        description="Label id to what a threshold on its held-out calibrated probability does."
    )
    abstention: tuple[AbstentionPoint, ...] = Field(
        description="What `min_probability` does to this question."
    )


class Recommended(_Entry):
    """Values for a decision policy, chosen on the rows they are measured on."""

    thresholds: Mapping[str, Mapping[str, float]] = Field(
        description="Question id to label id to threshold, where that beats 0.5 by `gain`."
    )
    gain: float = Field(description="Least gain in weighted F1 that a threshold is worth.")
    min_probability: float | None = Field(
        default=None,
        description="The least at which decided rows reach `target_accuracy`; null if none does.",
    )
    target_accuracy: float
    coverage: float | None = Field(
        default=None, description="Share of all rows decided at that value."
    )
    accuracy: float | None = Field(default=None, description="Accuracy of those.")
    written: tuple[str, ...] = Field(
        default=(), description="Which of these were written into the manifest's policy."
    )


class CalibrationReport(_Entry):
    """All that a calibration did."""

    schema_version: Literal[1] = 1
    created: str = Field(description="When, in UTC, ISO 8601.")
    model: str = Field(description="Name of the model in its manifest.")
    wording_version: str
    split: str = Field(description="The split that was calibrated on.")
    command: str = Field(description="The command that does it again, without paths.")
    settings: Settings
    questions: Mapping[str, QuestionReport]
    without_rows: tuple[str, ...] = Field(
        description="Ids of the questions that had no rows: they are left as they were."
    )
    sets: Mapping[str, BeforeAfter] = Field(description="Set id to its rows.")
    mean: BeforeAfter = Field(description="The mean over the sets, each counted once.")
    abstention: tuple[AbstentionPoint, ...] = Field(
        description="What `min_probability` does to all rows."
    )
    recommended: Recommended
    replaced: Mapping[str, CalibrationEntry] = Field(
        description="The calibration that the manifest held before."
    )


def markdown(report: CalibrationReport) -> str:
    """The report for people."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: CalibrationReport) -> Iterator[str]:
    settings = report.settings
    yield f"# Calibration of {report.model}"
    yield ""
    yield (
        f"Split `{report.split}`, {report.mean.rows} rows on {report.mean.posts} posts, "
        f"{settings.folds} folds by post, wording `{report.wording_version}`, {report.created}."
    )
    yield ""
    yield (
        "All figures are measured on posts that had no part in choosing or fitting the numbers "
        "they are measured with. ECE is the expected calibration error (15 bins of equal width); "
        "in brackets its 95% interval by post. *ECE if exact* is what the probabilities after "
        "calibration would show on these rows if each of them were exact: the mean, and where 95% "
        "of such errors lie. An error within that range is not told from chance."
    )
    yield ""
    yield "## Sets"
    yield ""
    yield _header("set", "rows", *_FIGURES)
    for name, measured in report.sets.items():
        yield _line(name, measured.rows, *_figures(measured))
    yield _line("**mean**", report.mean.rows, *_figures(report.mean))
    yield ""
    yield "## Questions"
    yield ""
    yield _header("question", "rows", "kept", "temperature", "bias", *_FIGURES)
    for name, question in report.questions.items():
        kept = question.form.value.replace("_", " ")
        bias = ", ".join(f"{label} {value:+.2f}" for label, value in question.entry.bias.items())
        yield _line(
            name,
            question.measured.rows,
            f"{kept} ({question.reason})" if question.reason else kept,
            f"{question.entry.temperature:.2f}",
            bias or "-",
            *_figures(question.measured),
        )
    for name in report.without_rows:
        yield _line(name, 0, "left as it was (no rows)", *[""] * (2 + len(_FIGURES)))
    yield ""
    yield "## Abstention"
    yield ""
    yield "All rows, on held-out posts, by the policy's `min_probability`."
    yield ""
    yield _header("min_probability", "decided", "accuracy of these")
    for point in report.abstention:
        accuracy = f"{point.accuracy:.1%}" if point.accuracy is not None else "-"
        yield _line(f"{point.min_probability:.2f}", f"{point.coverage:.1%}", accuracy)
    yield ""
    yield "## Policy"
    yield ""
    yield from _policy(report.recommended)


def _header(*names: str) -> str:
    return f"{_line(*names)}\n{_line(*['---'] * len(names))}"


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _figures(measured: BeforeAfter) -> list[str]:
    before, after = measured.before, measured.after
    cells = [_error(before["ece"]), _error(after["ece"]), _error(measured.chance)]
    for metric, form in (("nll", ".3f"), ("weighted_f1", ".1%")):
        cells += [_value(figures[metric], form) for figures in (before, after)]
    return cells


def _value(figure: Figure, form: str) -> str:
    return "-" if figure.value is None else format(figure.value, form)


def _error(figure: Figure) -> str:
    interval = figure.interval
    said = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return _value(figure, ".3f") + said


def _policy(recommended: Recommended) -> Iterator[str]:
    yield (
        "Chosen on the rows they are measured on, so a little worse on new posts. "
        + (
            f"Written into the manifest: {', '.join(recommended.written)}."
            if recommended.written
            else "Not written into the manifest (`--policy` does that)."
        )
    )
    yield ""
    if recommended.min_probability is None:
        yield f"- No `min_probability` reaches {recommended.target_accuracy:.0%} accuracy."
    else:
        yield (
            f"- `min_probability` {recommended.min_probability:.2f}: {recommended.coverage:.1%} of "
            f"the rows are decided, {recommended.accuracy:.1%} of them right (wanted: "
            f"{recommended.target_accuracy:.0%})."
        )
    for question, thresholds in recommended.thresholds.items():
        for label, value in thresholds.items():
            yield f"- threshold of `{question}.{label}`: {value:.2f}"
    if not recommended.thresholds:
        yield f"- No threshold beats 0.5 by {recommended.gain:.1%} weighted F1."
