"""The results of a benchmark run: the form of `results.json`.

`training.evaluate.summary.summarise` makes `Results` from records, `training.evaluate.reports`
writes them as JSON, Markdown and HTML, `load_results` reads the JSON back. Figures of labels are
fractions, not percentages. What is None is left out of the JSON. No field holds any of a post. The
descriptions here are the file's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.errors import DataError

RESULTS_FILE = "results.json"

READ = "read"
"""Label reads as the service does them, after the calibration of the model's manifest."""
READ_UNCALIBRATED = "read_uncalibrated"
"""The same reads before the calibration."""
FREE_FORM = "free_form"
"""A whole response is generated and its label parsed, as in the paper."""
BASELINE_PREFIX = "baseline."
"""Before the name of a baseline."""

Count = Annotated[int, Field(ge=0)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(_Entry):
    """One measured number."""

    value: float | None = Field(
        default=None, description="The number; left out where it was not measured."
    )
    interval: tuple[float, float] | None = Field(
        default=None, description="[low, high] of its bootstrap interval by post, 95% by default."
    )
    reason: str | None = Field(default=None, description="Why it was not measured.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError("`interval` must be [low, high] with low at most high")
        if self.value is None and self.reason is None:
            raise ValueError("a figure without a value must have a `reason`")
        return self


class Scores(_Entry):
    """The metrics of some rows."""

    rows: Count = Field(description="Rows measured: a post and a question each.")
    posts: Count = Field(description="Different posts among them.")
    figures: Mapping[str, Figure] = Field(
        description="Metric id, a key of `training.evaluate.metrics.METRICS`, to its figure."
    )


class Confusion(_Entry):
    """How often which label was given for which reference."""

    labels: tuple[str, ...] = Field(description="Label ids, in the order of the question.")
    counts: tuple[tuple[Count, ...], ...] = Field(
        description="One row a reference label; one column a given label, then one column for "
        "rows without a label (an answer that cannot be read, or an error)."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        width = len(self.labels) + 1
        if len(self.counts) != len(self.labels) or any(len(row) != width for row in self.counts):
            raise ValueError("`counts` must have a row a label, and a column a label and one more")
        return self


class ReliabilityBin(_Entry):
    """The rows whose top label's probability lies between two bounds."""

    low: float = Field(description="Lower bound, left out; taken in where it is 0.")
    high: float = Field(description="Upper bound, taken in.")
    rows: Count
    confidence: float | None = Field(
        default=None, description="Mean probability of the top label; left out without rows."
    )
    accuracy: float | None = Field(
        default=None, description="Share of the rows whose top label is right."
    )


class CoveragePoint(_Entry):
    """What remains when the least certain rows are abstained from."""

    coverage: float = Field(description="Share of the rows that are answered.")
    min_probability: float = Field(description="The probability from which a row is answered.")
    accuracy: float = Field(description="Share of the answered rows that are right; 1 - risk.")


class WayResults(_Entry):
    """One set, answered in one way."""

    all: Scores = Field(description="Every row of the set that was answered in this way.")
    unseen: Scores | None = Field(
        default=None, description="The rows whose posts are not in the model's training data."
    )
    seen: Scores | None = Field(default=None, description="The rows whose posts are in it.")
    annotation: Scores | None = Field(
        default=None,
        description="Measured against the annotators' own labels, on the rows that have one.",
    )
    readable: Scores | None = Field(
        default=None, description="The rows with a label that can be read; for `free_form`."
    )
    questions: Mapping[str, Scores] = Field(
        default_factory=dict, description="Question id to its rows; for sets of several questions."
    )
    confusion: Confusion
    problems: Mapping[str, Count] = Field(
        default_factory=dict,
        description="Why rows have no label, to how many: problems of parsing and error codes.",
    )
    reliability: tuple[ReliabilityBin, ...] = Field(
        default=(), description="15 bins of equal width; empty where there are no probabilities."
    )
    coverage: tuple[CoveragePoint, ...] = Field(
        default=(), description="From full coverage down; empty where there are no probabilities."
    )


class SetResults(_Entry):
    """One data set."""

    set: str = Field(description="Id of the data set.")
    rows: Count
    posts: Count
    references: Mapping[str, Count] = Field(description="Label id to rows with that reference.")
    seen_known: bool = Field(
        description="Whether it is known which posts are in the model's training data."
    )
    annotation_rows: Count = Field(description="Rows whose annotators' label is known.")
    annotation_agreement: Figure | None = Field(
        default=None,
        description="Share of those rows whose reference is the annotators' label.",
    )
    ways: Mapping[str, WayResults] = Field(
        description="`read`, `read_uncalibrated`, `free_form` or `baseline.NAME` to its results."
    )


class MeanResults(_Entry):
    """The mean over the sets, each counted once whatever its size."""

    sets: tuple[str, ...] = Field(description="Ids of the sets in the mean.")
    figures: Mapping[str, Figure]


class ExplanationScores(_Entry):
    """The explanations of one set, or of all."""

    set: str | None = Field(
        default=None, description="Id of the data set; left out for all sets together."
    )
    rows: Count = Field(description="Explanations measured.")
    figures: Mapping[str, Figure] = Field(
        description="Metric id, such as `rouge_l`, to its figure. What could not be measured is a "
        "figure with a reason, never 0."
    )


class ExplanationResults(_Entry):
    """The quality of the explanations."""

    ways: Mapping[str, tuple[ExplanationScores, ...]] = Field(
        description="`read` (the explanation of the decided label, as served) or `free_form`, to "
        "its scores: all sets together first, then set by set."
    )
    definitions: Mapping[str, str] = Field(
        default_factory=dict, description="Metric id to what it is, with source, model, signature."
    )
    notes: tuple[str, ...] = Field(default=(), description="What a reader must know.")


class ModelSummary(_Entry):
    """The model that was measured."""

    name: str = Field(min_length=1, description="Its name in the manifest; never a path.")
    base_model: str | None = None
    prompt_style: str | None = None
    wording_version: str | None = None
    calibrated_questions: tuple[str, ...] = Field(
        default=(), description="Questions that the manifest has a calibration for."
    )
    recipe: str | None = None
    licence: str | None = None
    fingerprint: str | None = Field(
        default=None, description="Digest of the weights and the manifest, as the run's store has."
    )


class DataSummary(_Entry):
    """The data that the model was measured on."""

    name: str = Field(min_length=1, description="What the data is called; never a path.")
    checksum: str = Field(min_length=1, description="SHA-256 over the rows that were measured.")
    sampled: bool = Field(
        default=False, description="Whether only a sample of the split's rows was measured."
    )
    seen_in: str | None = Field(
        default=None, description="The training data that `seen` refers to; left out if unknown."
    )


class BootstrapSettings(_Entry):
    """How the intervals were made."""

    resamples: int = Field(default=1000, ge=0, description="0 leaves the intervals out.")
    seed: int = Field(default=0, ge=0)
    level: float = Field(default=0.95, gt=0, lt=1)


class Results(_Entry):
    """All that a benchmark run measured."""

    schema_version: Literal[1] = 1
    created: str = Field(description="When, in UTC, ISO 8601.")
    model: ModelSummary
    data: DataSummary
    split: str = Field(description="`train`, `val` or `test`.")
    command: str = Field(description="The command that measures it again, without paths.")
    options: Mapping[str, str] = Field(
        default_factory=dict, description="Settings of the run: decoding, truncation, sampling."
    )
    environment: Mapping[str, str] = Field(
        default_factory=dict, description="Versions and hardware: name to value."
    )
    bootstrap: BootstrapSettings = BootstrapSettings()
    sets: tuple[SetResults, ...]
    mean: Mapping[str, MeanResults] = Field(description="Way to its mean over the sets.")
    explanations: ExplanationResults | None = None


def load_results(directory: Path) -> Results:
    """Read the `results.json` of a run's folder.

    Raises:
        DataError: it is missing, cannot be read, or is not of the form that this release takes.
    """
    path = directory / RESULTS_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist: give the output folder of `mentalllama-train evaluate`, and "
            "run that command to its end first."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read.") from error
    try:
        return Results.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{path} is not a results file of this release (`{field}`: {first['msg']}). Run "
            "`mentalllama-train evaluate` again on the same output folder to rewrite it."
        ) from None
