"""The way of the data: from a folder of files to a folder of prepared data.

    released files ─┐
                    ├─ mend ─ join ─ rules ─ hold out ─ shared and near posts ─ write
    raw files ──────┘

`prepare` goes it and returns what it wrote; every step leaves its counts in the report. The same
files and options give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imhi.tasks import DATASETS
from training.data.card import render_card
from training.data.cleaning import RULES, clean, rules_but
from training.data.duplicates import find_contamination, find_near_measured
from training.data.example import Split
from training.data.mending import TEXT_RULES, Mender
from training.data.prepared import refuse_to_overwrite, write_prepared
from training.data.raw import join_raw, read_raw
from training.data.released import read_released
from training.data.report import Steps, build_report
from training.data.splits import find_shared, hold_out
from training.data.written import write_explanations
from training.errors import UsageError


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose.

    Attributes:
        sets: ids of `imhi.tasks.DATASETS` to take.
        without: ids of the rules, of text or rows, that are off.
        everywhere: rules and removals have their effect on val and test too.
        quotes_found: share of an explanation's quotes, 0 to 1, that must stand in the post.
        remove_shared: remove train rows whose post stands in a val or test split of any set.
        remove_near: the same for posts that are nearly the same.
        hold_out: give sets without val rows a part of their train rows for it.
        seed: of that part.
        write_explanations: give annotators' train rows an explanation written by rule; see
            `training.data.written`.
    """

    sets: tuple[str, ...] = tuple(DATASETS)
    without: tuple[str, ...] = ()
    everywhere: bool = False
    quotes_found: float = 1.0
    remove_shared: bool = True
    remove_near: bool = True
    hold_out: bool = True
    seed: int = 0
    write_explanations: bool = False

    def __post_init__(self) -> None:
        known = [*TEXT_RULES, *RULES]
        unknown = [rule for rule in self.without if rule not in known]
        if unknown:
            raise UsageError(
                f"There is no rule {', '.join(unknown)}; the rules are: {', '.join(known)}."
            )
        if not 0 <= self.quotes_found <= 1:
            raise UsageError("The share of quotes to be found must be from 0 to 1.")


Advance = Callable[[str, int, int], None]
"""Told how far the work is: the step in words, how many of how many are done."""


def prepare(
    folder: Path,
    out: Path,
    options: Options,
    *,
    force: bool = False,
    advance: Advance = lambda step, done, total: None,
) -> dict[str, Any]:
    """Prepare the data in `folder` and write it to `out`.

    Args:
        folder: the data folder; see `training.data.released` and `training.data.raw`.
        out: the folder to make.
        options: what to do.
        force: replace prepared data that is in `out`.
        advance: told how far the work is.

    Returns:
        The report, as it stands in `report.json`.

    Raises:
        DataError: files are missing or cannot be read.
        UsageError: `out` is not empty.
    """
    refuse_to_overwrite(out, force=force)
    mend = Mender(options.without)
    advance("Reading the released files", 0, 1)
    released = read_released(folder, options.sets, mend)
    advance("Reading the raw files", 0, 1)
    raw = read_raw(folder, options.sets, mend)
    joined = join_raw(released.examples, raw.rows)

    advance("Looking for faults", 0, 1)
    rules = rules_but(options.without, quotes_found=options.quotes_found)
    cleaned, findings = clean(joined.examples, rules=rules, everywhere=options.everywhere)
    held_out: dict[str, int] = {}
    if options.hold_out:
        cleaned, held_out = hold_out(cleaned, options.seed)

    contamination = find_contamination(
        cleaned, lambda done, total: advance("Comparing posts", done, total)
    )
    shared = {split: find_shared(cleaned, split) for split in (Split.TRAIN, Split.VAL)}
    near = find_near_measured(cleaned, contamination)
    removed: set[str] = set()
    if options.remove_shared:
        removed |= shared[Split.TRAIN].keys()
        if options.everywhere:
            removed |= shared[Split.VAL].keys()
    if options.remove_near:
        removed |= near.keys()
    kept = tuple(example for example in cleaned if example.id not in removed)
    written: dict[str, int] = {}
    if options.write_explanations:
        kept, written = write_explanations(kept)

    advance("Writing", 0, 1)
    report = build_report(
        Steps(
            folder=folder,
            options=options,
            mended=mend.changed,
            released=released,
            raw=raw,
            joined=joined,
            held_out=held_out,
            findings=findings,
            cleaned=cleaned,
            contamination=contamination,
            shared=shared,
            near=near,
            written=written,
            kept=kept,
        )
    )
    write_prepared(
        kept,
        out,
        report=report,
        duplicates=contamination.to_json(),
        card=render_card(report),
        force=force,
    )
    advance("Writing", 1, 1)
    return report
