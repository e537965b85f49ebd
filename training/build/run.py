"""A build from start to end: the plan's requests answered, read, checked, and written as data.

data/             prepared data, to train on
checked/          what the check finds in the explanations. It holds posts
build.json        what became of every row, in numbers
outcomes.jsonl    the same row by row: ids, outcomes, reasons
teacher.sqlite3   every answer. It holds posts
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from imhi.parsing import parse_response
from imhi.tasks import DATASETS, WORDING_VERSION
from training.build.cache import CACHE_FILE, Answer, Cache, open_cache, request_key
from training.build.card import document
from training.build.plan import MILLION, Plan
from training.build.recipe import BuildRecipe
from training.build.results import (
    RESULTS_FILE,
    BuildResults,
    FileResults,
    Outcome,
    SetResults,
    UsageResults,
)
from training.build.teacher import REFUSED, Progress, Usage, ask_all
from training.check.content import document as check_document
from training.check.page import write_page
from training.check.results import RESULTS_FILE as CHECK_FILE
from training.check.rules import RULES
from training.check.run import Checked, Rows, check, share_figure, write_verdicts
from training.data.example import Example
from training.data.prepared import write_prepared
from training.data.report import count_rows
from training.errors import DataError
from training.evaluate.report_markdown import to_markdown
from training.evaluate.store import write_private
from training.files import write_text

DATA = "data"
CHECKED = "checked"
OUTCOMES_FILE = "outcomes.jsonl"

_FEW = 0.5
_NOT_ANSWERED = (REFUSED, "content_filter")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row and what became of it."""

    example: Example
    outcome: Outcome
    reasons: tuple[str, ...] = ()


def build(
    recipe: BuildRecipe, planned: Plan, notice: Callable[[str], None], progress: Progress
) -> BuildResults:
    """Ask what is not answered yet, and write what came of it.

    Args:
        recipe: the recipe.
        planned: from `plan`.
        notice: told what is done next.
        progress: told how many requests are answered.

    Raises:
        TeacherError: the endpoint cannot be used, or left requests without an answer. What it
            answered is kept.
        DataError: something cannot be written.
    """
    folder = recipe.output
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror}.") from None
    with open_cache(folder / CACHE_FILE) as cache:
        usage = asyncio.run(ask_all(planned.bodies, recipe.teacher, cache, progress))
        read = [_read(row, _answer(cache, planned.with_label[row.id])) for row in planned.rows]
        freely = {
            row.id: _named(_answer(cache, planned.freely[row.id]), row)
            for row in planned.rows
            if row.id in planned.freely
        }
    notice("Checking the explanations …")
    rows = _checked(read, recipe, planned)
    results = _results(recipe, planned, rows, freely, usage)
    examples = [row.example for row in rows]
    packages = ("mentalllama", "datasets", "pyarrow", "openai")
    report = {
        "wording_version": WORDING_VERSION,
        "made_with": {name: importlib.metadata.version(name) for name in packages},
        "build": results.model_dump(mode="json"),
        "rows": count_rows(examples),
    }
    card = to_markdown(document(results))
    write_prepared(
        examples, folder / DATA, report=report, duplicates=planned.duplicates, card=card, force=True
    )
    lines = [
        {
            "id": row.example.id,
            "outcome": row.outcome.value,
            "reasons": list(row.reasons),
            "freely": freely.get(row.example.id),
        }
        for row in rows
    ]
    write_private(folder / OUTCOMES_FILE, "".join(f"{json.dumps(line)}\n" for line in lines))
    write_text(folder / RESULTS_FILE, f"{results.model_dump_json(indent=2)}\n")
    return results


def _answer(cache: Cache, body: Mapping[str, object]) -> Answer:
    answer = cache.get(request_key(body))
    if answer is None:
        raise DataError("An answer is missing in the cache: run the same command again.")
    return answer


def _read(row: Example, answer: Answer) -> _Row:
    """A row with the explanation that an answer gives it, or the reason why it gives none."""
    label_only = replace(row, explanation=None)
    if answer.finish_reason in _NOT_ANSWERED:
        return _Row(label_only, Outcome.REFUSED)
    if answer.finish_reason == "length":
        return _Row(label_only, Outcome.CUT_OFF)
    found = parse_response(answer.text, row.question)
    if found.label is None or not found.explanation:
        return _Row(label_only, Outcome.UNREADABLE)
    if found.label.id != row.label.id:
        return _Row(label_only, Outcome.OTHER_LABEL)
    return _Row(replace(row, explanation=found.explanation), Outcome.EXPLAINED)


def _named(answer: Answer, row: Example) -> str | None:
    """Id of the label that the teacher named by itself."""
    if answer.finish_reason in _NOT_ANSWERED:
        return None
    label = parse_response(answer.text, row.question).label
    return label.id if label else None


def _checked(rows: Sequence[_Row], recipe: BuildRecipe, planned: Plan) -> list[_Row]:
    """The rows after the check, whose report is written."""
    explained = [row.example for row in rows if row.outcome is Outcome.EXPLAINED]
    if not explained:
        return list(rows)
    checked = check(Rows(tuple(explained), frozenset(), 0, recipe.name), planned.check)
    _write_check(checked, explained, recipe)
    actions = {rule.id: rule.action for rule in checked.results.rules}
    after = []
    for row in rows:
        verdict, reasons = checked.verdicts.get(row.example.id, ("", ()))
        if verdict == "reject":
            graves = tuple(rule for rule in reasons if actions[rule] == "reject")
            bare = replace(row.example, explanation=None)
            after.append(_Row(bare, Outcome.REJECTED, graves))
        else:
            after.append(replace(row, reasons=reasons))
    return after


def _write_check(checked: Checked, explained: Sequence[Example], recipe: BuildRecipe) -> None:
    folder = recipe.output / CHECKED
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror}.") from None
    rows = Rows(tuple(explained), frozenset(), 0, recipe.name)
    write_verdicts(checked, rows, folder)
    write_text(folder / CHECK_FILE, f"{checked.results.model_dump_json(indent=2)}\n")
    write_text(folder / "check.md", to_markdown(check_document(checked.results)))
    write_page(checked, folder)


def _results(
    recipe: BuildRecipe,
    planned: Plan,
    rows: Sequence[_Row],
    freely: Mapping[str, str | None],
    usage: Usage,
) -> BuildResults:
    sets = tuple(
        _set_results(name, own, freely)
        for name in DATASETS
        if (own := [row for row in rows if row.example.set == name])
    )
    price = recipe.teacher.price
    cost = usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion
    return BuildResults(
        name=recipe.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        teacher=recipe.teacher.model,
        few_shot=recipe.teacher.few_shot,
        files=tuple(
            FileResults(
                set=file.set,
                split=file.split.value,
                source=file.source,
                rows=file.rows,
                examples=len(file.examples),
                skipped=file.skipped,
                marks=file.marks,
                marks_found=file.marks_found,
            )
            for file in planned.files
        ),
        mended=planned.mended,
        removed=planned.removed,
        sets=sets,
        usage=UsageResults(
            sent=usage.sent,
            cached=usage.cached,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            retries=dict(usage.retries),
            cost=round(cost / MILLION, 6),
            currency=price.currency,
        ),
        warning=_warning(rows),
    )


def _set_results(name: str, rows: Sequence[_Row], freely: Mapping[str, str | None]) -> SetResults:
    counts = Counter(row.outcome for row in rows)
    asked = [row.example for row in rows if row.example.id in freely]
    agree = sum(freely[row.id] == row.label.id for row in asked)
    graves = Counter(
        reason for row in rows if row.outcome is Outcome.REJECTED for reason in row.reasons
    )
    return SetResults(
        set=name,
        asked=len(rows),
        outcomes={outcome.value: counts[outcome] for outcome in Outcome},
        explained=share_figure(counts[Outcome.EXPLAINED], len(rows)),
        reasons={rule: graves[rule] for rule in RULES if rule in graves},
        asked_freely=len(asked),
        agreement=share_figure(agree, len(asked)),
    )


def _warning(rows: Sequence[_Row]) -> str:
    if not rows:
        return "No row was left to ask about."
    passed = sum(row.outcome is Outcome.EXPLAINED for row in rows)
    if passed >= _FEW * len(rows):
        return ""
    return (
        f"The explanations are poor: only {passed:,} of {len(rows):,} passed. This teacher is too "
        "weak for these rows, or its template is not understood: look at the answers' faults in "
        f"{CHECKED}/check.html, and try another teacher or template."
    )
