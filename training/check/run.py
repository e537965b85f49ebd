"""A check from start to end: rows in, a verdict for each, counts and examples out.

check.json check.md   counts and figures, no text
check.html            the same with examples of each failure. It holds posts
verdicts.jsonl        example id, verdict and reasons, one row a line
disagreements.csv     rows whose label is not the annotators', for a person. It holds posts
"""

from __future__ import annotations

import csv
import io
import json
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from imhi.tasks import DATASETS
from service.analysis.evidence import find_quotes
from service.weights import CHECKSUMS_FILE
from training.check.consistency import Embed, Reading, inconsistent, read_explanations
from training.check.experts import Key, Likeness, likeness
from training.check.recipe import Action, CheckRecipe, Thresholds
from training.check.results import CheckResults, RuleResults, SetResults
from training.check.rules import RULES, Evidence
from training.data.example import Example, Split
from training.data.mending import Mender
from training.data.prepared import load_prepared
from training.data.released import read_released
from training.errors import DataError
from training.evaluate.bootstrap import DIGITS
from training.evaluate.results import Figure
from training.evaluate.store import write_private

VERDICTS_FILE = "verdicts.jsonl"
DISAGREEMENTS_FILE = "disagreements.csv"
OK = "ok"
_WORST = (Action.REJECT, Action.REVIEW, Action.NOTE)
_RESAMPLES = 200  # each is a pass of scikit-learn over the set

Advance = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What is checked.

    Attributes:
        examples: the rows.
        damaged: ids of those whose text was mended as they were read.
        unread: rows of the files that could not be read.
        source: the folder's name.
    """

    examples: tuple[Example, ...]
    damaged: frozenset[str]
    unread: int
    source: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        results: counts and figures.
        verdicts: example id to verdict (`ok`, `note`, `review`, `reject`) and the rules that found
            something, the gravest first.
        examples: rule to some of the rows that it found, evenly over sets.
    """

    results: CheckResults
    verdicts: Mapping[str, tuple[str, tuple[str, ...]]]
    examples: Mapping[str, tuple[Example, ...]]


def load_rows(folder: Path, sets: Collection[str], splits: Collection[Split]) -> Rows:
    """Read prepared data, or the released files as they are.

    Raises:
        DataError: the folder holds neither, or nothing of what is asked for.
    """
    if (folder / CHECKSUMS_FILE).is_file():
        prepared = load_prepared(folder)
        examples = [row for split in Split for row in prepared.examples[split]]
        damaged: set[str] = set()
        unread = 0
    else:
        mender = Mender()
        released = read_released(folder, tuple(sets), mender)
        examples, unread = list(released.examples), len(released.unread)
        damaged = {row for rows in mender.changed.values() for row in rows}
    kept = tuple(row for row in examples if row.set in sets and row.split in splits)
    if not kept:
        raise DataError(f"{folder} holds no row of the sets and splits that are asked for.")
    mended = frozenset(row.id for row in kept if f"{row.source}:{row.row}" in damaged)
    return Rows(kept, mended, unread, folder.absolute().name)


def check(
    rows: Rows,
    recipe: CheckRecipe,
    *,
    embed: Embed | None = None,
    reader: str = "TF-IDF",
    experts: Mapping[Key, str] | None = None,
    encoder: str | None = None,
    scorer: str | None = None,
    advance: Advance = lambda step, done, total: None,
) -> Checked:
    """Check rows.

    Args:
        rows: what is checked.
        recipe: what is looked for.
        embed: vectors for the classifier of the consistency; None for TF-IDF.
        reader: what it reads with, in words.
        experts: experts' explanations, or None.
        encoder: of BERTScore against these; None leaves it out.
        scorer: of BARTScore, likewise.
        advance: told how far the work is.
    """
    explained = [row for row in rows.examples if row.explanation is not None]
    readings = read_explanations(
        explained,
        recipe.consistency,
        embed=embed,
        seed=recipe.seed,
        advance=lambda done, total: advance("Reading explanations", done, total),
    )
    alike: Mapping[str, Likeness] = {}
    if experts:
        advance("Comparing with experts", 0, 1)
        alike = likeness(explained, experts, encoder=encoder, scorer=scorer)
    evidence = Evidence(
        damaged=rows.damaged,
        disagrees={row.id for row in rows.examples if _disagrees(row)},
        inconsistent=inconsistent(explained, readings, recipe.thresholds.consistency),
        unlike_expert={name for name, one in alike.items() if _unlike(one, recipe.thresholds)},
    )
    found: dict[str, set[str]] = {}
    for number, rule in enumerate(RULES.values()):
        advance("Looking for faults", number, len(RULES))
        if _action(rule.id, recipe) is not Action.OFF:
            found[rule.id] = rule.find(rows.examples, evidence, recipe.thresholds)
    verdicts = {row.id: _verdict(row.id, found, recipe) for row in rows.examples}
    sets = [name for name in DATASETS if any(row.set == name for row in rows.examples)]
    results = CheckResults(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        source=rows.source,
        splits=tuple(sorted({row.split.value for row in rows.examples})),
        reader=reader,
        recipe=recipe,
        unread=rows.unread,
        rules=tuple(
            RuleResults(
                id=rule.id,
                description=rule.description,
                action=_action(rule.id, recipe).value,
                found=Counter(row.set for row in rows.examples if row.id in found.get(rule.id, ())),
            )
            for rule in RULES.values()
        ),
        sets=tuple(
            _set_results(
                name,
                [row for row in rows.examples if row.set == name],
                verdicts,
                readings,
                alike,
                recipe.seed,
            )
            for name in sets
        ),
    )
    shown = {
        name: _examples([row for row in rows.examples if row.id in ids], recipe, name)
        for name, ids in found.items()
    }
    return Checked(results, verdicts, shown)


def write_verdicts(checked: Checked, rows: Rows, folder: Path) -> None:
    """Write the rows' verdicts, and the disagreements for a person to look at.

    Raises:
        DataError: the disk refuses.
    """
    lines = (
        json.dumps({"id": name, "verdict": verdict, "reasons": list(reasons)})
        for name, (verdict, reasons) in checked.verdicts.items()
    )
    write_private(folder / VERDICTS_FILE, "".join(f"{line}\n" for line in lines))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("id", "post", "question", "label", "annotators", "explanation", "right label"))
    for row in rows.examples:
        if _disagrees(row) and row.annotation is not None:
            told = (row.question.text, row.label.name, row.annotation.name, row.explanation or "")
            writer.writerow((row.id, row.post, *told, ""))
    write_private(folder / DISAGREEMENTS_FILE, text.getvalue())


def _disagrees(row: Example) -> bool:
    return row.annotation is not None and row.annotation.id != row.label.id


def _unlike(one: Likeness, thresholds: Thresholds) -> bool:
    return any(
        least is not None and score is not None and score < least
        for score, least in (
            (one.bertscore, thresholds.bertscore),
            (one.bartscore, thresholds.bartscore),
        )
    )


def _action(rule: str, recipe: CheckRecipe) -> Action:
    return recipe.actions.get(rule, RULES[rule].action)


def _verdict(
    row: str, found: Mapping[str, set[str]], recipe: CheckRecipe
) -> tuple[str, tuple[str, ...]]:
    reasons = [rule for rule, ids in found.items() if row in ids]
    actions = {rule: _action(rule, recipe) for rule in reasons}
    reasons.sort(key=lambda rule: _WORST.index(actions[rule]))
    return (actions[reasons[0]].value if reasons else OK), tuple(reasons)


def _examples(rows: Sequence[Example], recipe: CheckRecipe, rule: str) -> tuple[Example, ...]:
    by_set: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        by_set[row.set].append(row)
    generator = random.Random(f"{recipe.seed}:{rule}")
    return tuple(
        row
        for members in by_set.values()
        for row in generator.sample(members, min(recipe.examples, len(members)))
    )


def _set_results(
    name: str,
    rows: Sequence[Example],
    verdicts: Mapping[str, tuple[str, tuple[str, ...]]],
    readings: Mapping[str, Reading],
    alike: Mapping[str, Likeness],
    seed: int,
) -> SetResults:
    explained = [row for row in rows if row.explanation is not None]
    annotated = [row for row in rows if row.annotation is not None]
    read = [row for row in explained if row.id in readings]
    quotes = [q for row in explained for q in find_quotes(row.explanation or "", row.post)]
    found = sum(bool(quote.evidence) for quote in quotes)
    scored = [alike[row.id] for row in explained if row.id in alike]
    words = [len((row.explanation or "").split()) for row in explained]
    counts = Counter(verdicts[row.id][0] for row in rows)
    return SetResults(
        set=name,
        rows=len(rows),
        explained=len(explained),
        verdicts={one: counts.get(one, 0) for one in (OK, *(a.value for a in reversed(_WORST)))},
        correctness=share_figure(sum(not _disagrees(row) for row in annotated), len(annotated)),
        annotated=len(annotated),
        consistency=_consistency(read, readings, seed),
        read=len(read),
        quotes_found=share_figure(found, len(quotes)),
        quotes=len(quotes),
        words=_plain(statistics.median(words) if words else None),
        bertscore=_plain(_mean([one.bertscore for one in scored])),
        bartscore=_plain(_mean([one.bartscore for one in scored])),
        with_expert=len(scored),
    )


def share_figure(some: int, total: int) -> Figure:
    """A share with its 95% Wilson interval."""
    from scipy.stats import binomtest

    if not total:
        return _plain(None)
    bounds = binomtest(some, total).proportion_ci(method="wilson")
    low, high = round(float(bounds.low), DIGITS), round(float(bounds.high), DIGITS)
    return Figure(value=round(some / total, DIGITS), interval=(low, high))


def _consistency(rows: Sequence[Example], readings: Mapping[str, Reading], seed: int) -> Figure:
    """Weighted F1 with its 95% bootstrap interval by post."""
    from sklearn.metrics import f1_score

    if not rows:
        return _plain(None)
    # Labels of two questions with one name (yes) are two labels.
    own = np.array([f"{row.question.id}:{row.label.id}" for row in rows])
    said = np.array([f"{row.question.id}:{readings[row.id].label}" for row in rows])
    members: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        members[row.post_key].append(place)
    groups = [np.array(places) for places in members.values()]
    generator = np.random.default_rng(seed)

    def score(places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        return float(f1_score(own[places], said[places], average="weighted", zero_division=0.0))

    draws = generator.integers(len(groups), size=(_RESAMPLES, len(groups)))
    samples = [score(np.concatenate([groups[one] for one in drawn])) for drawn in draws]
    low, high = np.quantile(samples, [0.025, 0.975])
    value = score(np.arange(len(rows)))
    return Figure(
        value=round(value, DIGITS), interval=(round(float(low), DIGITS), round(float(high), DIGITS))
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _plain(value: float | None) -> Figure:
    if value is None:
        return Figure(value=None, reason="There is nothing to measure it on.")
    return Figure(value=round(float(value), DIGITS))
