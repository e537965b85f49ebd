"""One model whose weights are the mean of several that were fine-tuned from the same base.

Models that began from the same weights and were trained with other seeds, data orders or settings
lie close enough together that the mean of their weights is a good model too, often a better one
than each, at the cost of one: the model soups of Wortsman et al., arXiv 2203.05482. Checkpoints of
one run may be averaged in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.analysis.manifest import Manifest, Training, load_manifest, write_manifest
from service.models import local_manifest
from service.weights import digest
from training.errors import ModelFilesError, UsageError
from training.export.files import (
    Kind,
    check_replaceable,
    copy_papers,
    inspect,
    new_directory,
    seal,
    write_text,
)
from training.export.merge import copy_tokenizer, load_model, quiet, save_model

REPORT_FILE = "average.json"

Announce = Callable[[str], None]
"""Takes one line that says what is being done."""


def average(
    models: Sequence[Path], output: Path, announce: Announce, *, replace: bool = False
) -> Manifest:
    """Write the mean of models, in float32.

    Args:
        models: directories of whole models of one architecture, two at least.
        output: directory to write.
        announce: told what begins.
        replace: whether an earlier average may be replaced.

    Returns:
        The manifest that was written: the first model's, with the training data of all. What was
        calibrated or measured on one of them is left out.

    Raises:
        UsageError: fewer than two models, or a directory that is not to be replaced.
        ModelFilesError: a model is refused, cannot be loaded, or differs from the first in the
            names or shapes of its weights.
    """
    if len(models) < 2:
        raise UsageError("Name two models or more: the mean of one is that model.")
    for directory in models:
        if inspect(directory) is not Kind.MODEL:
            raise ModelFilesError(
                f"{directory} is an adapter: merge it first with mentalllama-train export."
            )
    check_replaceable(output, replace=replace, report=REPORT_FILE)
    announce(f"Loading {models[0]} …")
    model = load_model(models[0])
    mean = dict(model.named_parameters())
    for number, directory in enumerate(models[1:], 2):
        announce(f"Adding {directory} …")
        _add(mean, load_model(directory), number, directory)
    manifest = _manifest(models)
    with new_directory(output) as part, quiet():
        save_model(model, part, "float32")
        copy_tokenizer(models[0], part)
        copy_papers([models[0]], part)
        write_manifest(part, manifest)
        write_text(part / REPORT_FILE, _report(models))
        seal(part)
    return manifest


def _add(mean: dict[str, Any], other: Any, number: int, directory: Path) -> None:
    """Take one more model into a running mean, of `number` models then."""
    import torch

    theirs = dict(other.named_parameters())
    differing = sorted(mean.keys() ^ theirs.keys()) or [
        name for name, weight in mean.items() if weight.shape != theirs[name].shape
    ]
    if differing:
        raise ModelFilesError(
            f"{directory} is another architecture than the first model ({differing[0]}): average "
            "models that were trained from the same base."
        )
    with torch.no_grad():
        for name, weight in mean.items():
            weight += (theirs[name] - weight) / number


def _manifest(models: Sequence[Path]) -> Manifest:
    manifests = [load_manifest(directory) for directory in models]
    first = manifests[0] or local_manifest(models[0])
    trainings = [one.training for one in manifests if one is not None and one.training]
    seeds = {one.seed for one in trainings}
    training = None
    if trainings:
        data = {file.sha256: file for one in trainings for file in one.data}
        training = Training(
            data=tuple(data.values()),
            recipe=trainings[0].recipe,
            commit=trainings[0].commit,
            seed=seeds.pop() if len(seeds) == 1 else None,
            questions=_questions(trainings),
        )
    said = f"The weights are the mean of {len(models)} models fine-tuned from one base."
    return first.model_copy(
        update={
            "training": training,
            "calibration": {},
            "results": (),
            "notes": " ".join(filter(None, (first.notes, said))),
        }
    )


def _questions(trainings: Sequence[Training]) -> dict[str, int] | None:
    """Rows by question in the run that had most; None where one of them does not say."""
    counts: dict[str, int] = {}
    for one in trainings:
        if one.questions is None:
            return None
        for question, rows in one.questions.items():
            counts[question] = max(rows, counts.get(question, 0))
    return counts


def _report(models: Sequence[Path]) -> str:
    weights = [
        {path.name: digest(path) for path in sorted(directory.glob("*.safetensors"))}
        for directory in models
    ]
    report = {
        "schema_version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": weights,
    }
    return json.dumps(report, indent=2) + "\n"
