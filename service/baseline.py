"""The stored baseline that drift is measured against: shares of labels, and mean confidence.

`load_baseline` finds it when a model is loaded (the file that the deployment names, else
`baseline.json` in the model's directory, else the one that ships with the embedded model) and
`service.metrics.export_baseline` shows it as gauges, so that rules compare it with what is counted.
It holds no texts, only shares.

A baseline comes from what a deployment itself answered while all was well, off its own counters, or
from an evaluation's `results.json`, where the labels' shares are those of the benchmark:

    python -m service.baseline http://localhost:8000/metrics > baseline.json
    python -m service.baseline results.json > baseline.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from imhi.tasks import DATASETS, QUESTIONS, TASKS
from service.errors import ModelError

BASELINE_FILE = "baseline.json"

FEWEST_ANSWERS = 50
"""Fewer answers than this to a question say too little of its labels' shares."""

Share = Annotated[float, Field(ge=0, le=1)]


class Baseline(BaseModel):
    """What the labels and the confidence look like while all is well."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: str = Field(min_length=1, description="Where the numbers are from.")
    labels: Mapping[str, Mapping[str, Share]] = Field(
        description="Question id to label id to its share of the labels decided; they sum to 1."
    )
    confidence: Mapping[str, Share] = Field(
        description="Task id to the mean probability of the decided label."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for question_id, shares in self.labels.items():
            question = QUESTIONS.get(question_id)
            if question is None:
                raise ValueError(f"there is no question {question_id!r}")
            if set(shares) != {label.id for label in question.labels}:
                raise ValueError(f"the labels of {question_id!r} are not those of this release")
            if abs(sum(shares.values()) - 1) > 0.001:
                raise ValueError(f"the shares of {question_id!r} do not sum to 1")
        for task_id in self.confidence:
            if task_id not in TASKS:
                raise ValueError(f"there is no task {task_id!r}")
        return self


def load_baseline(named: Path | None, *directories: Path | None) -> Baseline | None:
    """Read the deployment's baseline, or else the first that a directory holds.

    Args:
        named: the file that the deployment names.
        directories: where to look for `baseline.json` else, in this order.

    Returns:
        The baseline, or None where nothing is named and no directory has one.

    Raises:
        ModelError: the file cannot be read or is no baseline.
    """
    if named is not None:
        return _read(named)
    for directory in directories:
        if directory is not None and (directory / BASELINE_FILE).is_file():
            return _read(directory / BASELINE_FILE)
    return None


def from_metrics(text: str, source: str) -> Baseline:
    """Make a baseline of what a running service has counted since its start.

    Args:
        text: what its `/metrics` shows.
        source: what to call it.

    Raises:
        ModelError: it has not answered any question often enough.
    """
    labels: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    confidence: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "mentalllama_labels_total":
                labels[sample.labels["question"]][sample.labels["label"]] += sample.value
            elif sample.name in {"mentalllama_confidence_sum", "mentalllama_confidence_count"}:
                kind = sample.name.rpartition("_")[2]
                confidence[sample.labels["task"]][kind] += sample.value
    means = {
        task: values["sum"] / values["count"]
        for task, values in confidence.items()
        if values["count"] >= FEWEST_ANSWERS
    }
    return _baseline(source, labels, means)


def from_results(results: Mapping[str, Any], source: str) -> Baseline:
    """Make a baseline of an evaluation's `results.json`.

    The shares are read off the confusion matrix (a column for each label that was decided, and one
    for none), which stands there for a whole set: sets whose task owns several questions give a
    confidence and no shares. The confidence is the mean over the reliability diagram's bins.

    Raises:
        ModelError: there is no set with answers enough.
    """
    labels: dict[str, dict[str, float]] = {}
    sums: dict[str, tuple[float, int]] = {}
    for entry in results["sets"]:
        dataset, read = DATASETS[entry["set"]], entry["ways"]["read"]
        bins = [one for one in read["reliability"] if one["rows"]]
        total, rows = sums.get(dataset.task, (0.0, 0))
        total += sum(one["rows"] * one["confidence"] for one in bins)
        sums[dataset.task] = (total, rows + sum(one["rows"] for one in bins))
        if len(dataset.questions) == 1:
            names, counts = read["confusion"]["labels"], read["confusion"]["counts"]
            labels[dataset.questions[0].id] = {
                name: sum(row[column] for row in counts) for column, name in enumerate(names)
            }
    means = {task: total / rows for task, (total, rows) in sums.items() if rows >= FEWEST_ANSWERS}
    return _baseline(source, labels, means)


def _baseline(
    source: str, counts: Mapping[str, Mapping[str, float]], confidence: Mapping[str, float]
) -> Baseline:
    shares: dict[str, dict[str, float]] = {}
    for question_id, counted in counts.items():
        total = sum(counted.values())
        if question_id in QUESTIONS and total >= FEWEST_ANSWERS:
            shares[question_id] = {
                label.id: round(counted.get(label.id, 0) / total, 6)
                for label in QUESTIONS[question_id].labels
            }
    if not shares:
        raise ModelError(
            f"{source} holds no question with {FEWEST_ANSWERS} answers: take the baseline later."
        )
    rounded = {task: round(value, 6) for task, value in confidence.items()}
    return Baseline(source=source, labels=shares, confidence=rounded)


def _read(path: Path) -> Baseline:
    try:
        return Baseline.model_validate_json(path.read_bytes())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(f"The baseline {path} cannot be read: {reason}.") from None
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_input=False)
        field = ".".join(str(part) for part in first["loc"])
        what = f"{field}: {first['msg']}" if field else first["msg"]
        raise ModelError(f"{path} is no baseline ({what}): make it again.") from None


def main(arguments: Sequence[str]) -> int:
    """Print the baseline that an address or a file gives; returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    (source,) = arguments
    try:
        if "://" in source:
            response = httpx.get(source, timeout=30).raise_for_status()
            baseline = from_metrics(response.text, "the service's own answers")
        else:
            results = json.loads(Path(source).read_text(encoding="utf-8"))
            baseline = from_results(results, f"{Path(source).name}, split {results['split']}")
    except (ModelError, httpx.HTTPError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"error: no baseline can be made of {source}: {error}\n")
        return 1
    sys.stdout.write(baseline.model_dump_json(indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
