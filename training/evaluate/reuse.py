"""Label reads of an earlier run of the same model, taken over under another calibration.

A label read is what the model said before calibration; the manifest's calibration is applied to it
afterwards. So a model that was measured, then calibrated, need not read its rows again: the earlier
reads are calibrated as the service would calibrate them now. Explanations are not taken over, since
another calibration may decide, and so explain, another label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from service.analysis.calibration import Calibration
from training.data.example import Example
from training.errors import UsageError
from training.evaluate.journal import JOURNAL_FILE, Journal, Way, differing, read_journal
from training.evaluate.records import Read
from training.evaluate.runner import missing
from training.evaluate.selection import Selection

_MAY_DIFFER = frozenset(
    {"calibration", "policy", "explanation_tokens", "max_tokens", "consistency"}
)
"""Settings that a label read before calibration does not depend on."""


def take_reads(
    earlier: Path, journal: Journal, selection: Selection, calibration: Calibration
) -> int:
    """Add the label reads of an earlier run that the journal lacks.

    Args:
        earlier: the earlier run's folder.
        journal: of the run that takes them over.
        selection: the rows of the run.
        calibration: the model's, as it is now.

    Returns:
        How many were taken over.

    Raises:
        UsageError: there is no such run, or it was another model's, on other data or asked in
            another way.
        DataError: its journal cannot be read.
    """
    if not (earlier / JOURNAL_FILE).is_file():
        raise UsageError(
            f"--reads-from: {earlier} has no {JOURNAL_FILE}: give the folder of an earlier "
            "`mentalllama-train evaluate`, or of the reads of `calibrate`."
        )
    made = read_journal(earlier)
    _check(earlier, made.settings, journal.settings)
    taken = 0
    for row in missing(selection, journal, Way.READ):
        outcome = made.get(row.id, Way.READ)
        if outcome is None:
            continue
        if not taken:
            journal.begin(made.environment)
        answer = outcome.answer
        if isinstance(answer, Read):
            answer = _calibrated(row, answer, calibration)
        journal.add(replace(outcome, answer=answer))
        taken += 1
    return taken


def _calibrated(row: Example, read: Read, calibration: Calibration) -> Read:
    return replace(read, probabilities=calibration.apply(row.question, read.log_probabilities))


def _check(earlier: Path, made: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    names = [name for name in differing(made, wanted) if name not in _MAY_DIFFER]
    if names:
        said = ", ".join(f"`{name}`" for name in names)
        raise UsageError(
            f"--reads-from: the reads in {earlier} differ in {said}. Take those of the same model "
            "and data, or leave the option out to read the rows anew."
        )
