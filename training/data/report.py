"""What was done to the data, in numbers, row numbers and ids; never a text.

`build_report` turns what the steps of `training.data.preparation` left behind into one JSON object,
kept as `report.json` and shown by the data card and the command line. A part is a set's split,
written `set/split`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imhi.tasks import DATASETS, WORDING_VERSION
from training.data.cleaning import RULES, Finding
from training.data.duplicates import NEAR, Contamination
from training.data.example import Example, Origin, Split
from training.data.mending import TEXT_RULES
from training.data.raw import Joined, Raw
from training.data.released import Released, released_root
from training.data.splits import part

if TYPE_CHECKING:
    from training.data.preparation import Options

_MADE_WITH = ("mentalllama", "datasets", "pyarrow", "datasketch")


@dataclass(frozen=True, slots=True)
class Steps:
    """What each step of a preparation left behind.

    Attributes:
        folder: the data folder.
        options: what was asked for.
        mended: text rule to the rows that it changed.
        released: the released rows.
        raw: the raw rows.
        joined: both together.
        findings: what the rules did.
        held_out: rows that went from train to val after that, by set.
        cleaned: the examples after both.
        contamination: equal and near posts among these.
        shared: rows of train and val whose post stands in a later split, with the parts.
        near: train rows whose post is near one in val or test, with the parts.
        written: explanations that were written by rule, by set.
        kept: the examples that were written.
    """

    folder: Path
    options: Options
    mended: Mapping[str, Iterable[str]]
    released: Released
    raw: Raw
    joined: Joined
    findings: Sequence[Finding]
    held_out: Mapping[str, int]
    cleaned: Sequence[Example]
    contamination: Contamination
    shared: Mapping[Split, Mapping[str, Sequence[str]]]
    near: Mapping[str, Sequence[str]]
    written: Mapping[str, int]
    kept: Sequence[Example]


def build_report(steps: Steps) -> dict[str, Any]:
    """Return the report as a JSON object; the same steps give the same report."""
    options = steps.options
    part_of = {example.id: part(example) for example in steps.cleaned}
    return {
        "wording_version": WORDING_VERSION,
        "made_with": {name: importlib.metadata.version(name) for name in _MADE_WITH},
        "options": {
            "sets": list(options.sets),
            "without": list(options.without),
            "everywhere": options.everywhere,
            "quotes_found": options.quotes_found,
            "remove_shared": options.remove_shared,
            "remove_near": options.remove_near,
            "hold_out": options.hold_out,
            "seed": options.seed,
            "write_explanations": options.write_explanations,
        },
        "files": _files(steps),
        "missing": {
            "released": _missing(steps.released.missing),
            "raw": list(steps.raw.missing),
        },
        "unread": [
            {"source": row.source, "row": row.row, "reason": row.reason}
            for row in (*steps.released.unread, *steps.raw.unread)
        ],
        "completion": {
            "again": dict(steps.released.again),
            "cut": dict(steps.released.cut),
        },
        "raw": _raw(steps),
        "held_out": dict(steps.held_out),
        "rules": [*_text_rules(steps), *_rules(steps)],
        "shared": _crossing(steps, part_of),
        "near": {
            "similarity": NEAR,
            "removed": options.remove_near,
            "rows": sorted(steps.near),
            "by_part": _by_part(steps.near, part_of),
        },
        "equal_posts": steps.contamination.equal_counts(),
        "near_posts": steps.contamination.near_counts(),
        "written": dict(steps.written),
        "rows": count_rows(steps.kept),
    }


def _files(steps: Steps) -> dict[str, dict[str, Any]]:
    root = released_root(steps.folder)
    files = [(root, name, rows) for name, rows in steps.released.files.items()]
    files += [(steps.folder, name, rows) for name, rows in steps.raw.files.items()]
    return {
        name: {
            "rows": rows,
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        }
        for folder, name, rows in files
    }


def _missing(missing: Iterable[tuple[str, Split]]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = defaultdict(list)
    for set_id, split in missing:
        splits[set_id].append(split.value)
    return dict(splits)


def _raw(steps: Steps) -> dict[str, Any]:
    marks: dict[str, Counter[str]] = defaultdict(Counter)
    for row in steps.raw.rows:
        if row.marks:
            counts = marks[row.example.set]
            counts["marked"] += row.marks
            counts["found"] += row.found
            counts["rows"] += 1
            counts["rows_not_found"] += not row.found
    known = {example.id: part(example) for example in steps.joined.examples}
    agreement: dict[str, Counter[str]] = defaultdict(Counter)
    for example in steps.joined.examples:
        if example.origin is Origin.REFERENCE and example.annotation:
            agreement[part(example)]["rows"] += 1
            agreement[part(example)]["agree"] += example.annotation.id == example.label.id
    return {
        "annotated": _count(known[row] for row in steps.joined.annotated),
        "agreement": {own: dict(counts) for own, counts in agreement.items()},
        "disputed": list(steps.joined.disputed),
        "added": _count(known[row] for row in steps.joined.added),
        "left_out": list(steps.joined.outside),
        "marks": {set_id: dict(counts) for set_id, counts in marks.items()},
    }


def _text_rules(steps: Steps) -> list[dict[str, Any]]:
    rules = []
    for rule in TEXT_RULES.values():
        rows = list(steps.mended.get(rule.id, ()))
        by_file = _count(row.rpartition(":")[0] for row in rows)
        rules.append(
            {
                "id": rule.id,
                "description": rule.description,
                "effect": "mended",
                "on": rule.id in steps.mended,
                "by_file": by_file,
                "rows": rows,
            }
        )
    return rules


def _rules(steps: Steps) -> list[dict[str, Any]]:
    part_of = {example.id: part(example) for example in steps.joined.examples}
    done = {finding.rule.id: finding for finding in steps.findings}
    rules: list[dict[str, Any]] = []
    for rule_id, usual in RULES.items():
        finding = done.get(rule_id)
        rule = finding.rule if finding else usual
        found, applied = (finding.found, finding.applied) if finding else ((), ())
        rules.append(
            {
                "id": rule.id,
                "description": rule.description,
                "effect": rule.effect.value,
                "on": finding is not None,
                "found": _count(part_of[row] for row in found),
                "applied": _count(part_of[row] for row in applied),
                "rows": list(found),
            }
        )
    return rules


def _crossing(steps: Steps, part_of: Mapping[str, str]) -> dict[str, Any]:
    train, val = steps.shared[Split.TRAIN], steps.shared[Split.VAL]
    return {
        "removed": {
            "train": steps.options.remove_shared,
            "val": steps.options.remove_shared and steps.options.everywhere,
        },
        "rows": {"train": sorted(train), "val": sorted(val)},
        "by_part": _by_part({**train, **val}, part_of),
    }


def _by_part(
    rows: Mapping[str, Sequence[str]], part_of: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row, others in rows.items():
        counts[part_of[row]].update(others)
    return {own: dict(sorted(others.items())) for own, others in sorted(counts.items())}


def count_rows(examples: Sequence[Example]) -> dict[str, dict[str, Any]]:
    """By set and split: rows, posts, explanations, annotations, and labels by question."""
    table: dict[str, dict[str, Any]] = {}
    for set_id in DATASETS:
        for split in Split:
            rows = [e for e in examples if e.set == set_id and e.split is split]
            if not rows:
                continue
            labels: dict[str, Counter[str]] = defaultdict(Counter)
            for example in rows:
                labels[example.question.id][example.label.id] += 1
            table.setdefault(set_id, {})[split.value] = {
                "rows": len(rows),
                "posts": len({example.post_key for example in rows}),
                "explanations": sum(example.explanation is not None for example in rows),
                "annotations": sum(example.annotation is not None for example in rows),
                "marked": sum(bool(example.evidence) for example in rows),
                "labels": {
                    question: dict(sorted(counts.items()))
                    for question, counts in sorted(labels.items())
                },
            }
    return table


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
