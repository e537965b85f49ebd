"""A rival measured from start to end: trained on the train split, or asked, and reported.

What comes out is a folder as `mentalllama-train evaluate` writes it, so that reports look the same
and `compare` takes any two of them, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.baseline.answers import Answers, Progress
from training.baseline.recipe import BaselineRecipe, Kind
from training.build.cache import CACHE_FILE
from training.data.example import Example, Split
from training.errors import DataError
from training.evaluate.baselines import baselines
from training.evaluate.explanations import measure
from training.evaluate.fingerprint import environment, examples_digest
from training.evaluate.records import FreeForm, Read, Record
from training.evaluate.released_layout import write_released_layout
from training.evaluate.reports import write_reports
from training.evaluate.results import BootstrapSettings, DataSummary, ModelSummary, Results
from training.evaluate.sample_page import write_sample_page
from training.evaluate.samples import blank_record
from training.evaluate.selection import select
from training.evaluate.source import Source, load_source
from training.evaluate.store import write_records
from training.evaluate.summary import summarise


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured, beside the recipe.

    Attributes:
        data: prepared data, or released files.
        output: the folder to write.
        split: the part that is measured.
        sets: ids of the sets; None for all.
        limit: most rows a set; None for all.
        resamples: of the intervals.
        command: that measures it again, without paths.
    """

    data: Path
    output: Path
    split: Split = Split.VAL
    sets: tuple[str, ...] | None = None
    limit: int | None = None
    resamples: int = 1000
    command: str = ""


def run(recipe: BaselineRecipe, measured: Measured, progress: Progress) -> Results:
    """Train or ask a rival and write its report.

    Raises:
        DataError: the data cannot be read, or lacks train rows of what is asked.
        ModelFilesError: a model cannot be loaded.
        TeacherError: an endpoint cannot be used.
    """
    source = load_source(measured.data, measured.split)
    rows = select(source.examples, sets=measured.sets, limit=measured.limit).examples
    try:
        measured.output.mkdir(parents=True, exist_ok=True)
        (measured.output / ".gitignore").write_text("*\n")
    except OSError as error:
        raise DataError(f"{measured.output} cannot be made: {error.strerror}.") from None
    sets = {row.set for row in rows}
    train = [row for row in source.train if row.set in sets]
    answers = _answer(recipe, train, rows, measured.output, progress)
    records = [_record(row, answers[row.id], source) for row in rows]
    write_records(measured.output, records)
    settings = BootstrapSettings(resamples=measured.resamples)
    written = any(record.free_form for record in records)
    available = sum(example.set in sets for example in source.examples)
    results = summarise(
        records,
        model=ModelSummary(name=recipe.name, base_model=_base(recipe), recipe=recipe.kind.value),
        data=DataSummary(
            name=source.name,
            checksum=examples_digest(rows),
            sampled=len(rows) < available,
            seen_in=source.seen_in,
        ),
        split=measured.split.value,
        command=measured.command,
        environment=environment(),
        options={"kind": recipe.kind.value, "train rows": str(len(train))},
        baselines=baselines(rows, source.train),
        explanations=measure(records, bartscore=None, bootstrap=settings) if written else None,
        bootstrap=settings,
    )
    write_reports(measured.output, results)
    write_released_layout(records, measured.output / "released")
    write_sample_page(measured.output, records, model=results.model.name)
    return results


def _answer(
    recipe: BaselineRecipe,
    train: Sequence[Example],
    rows: Sequence[Example],
    output: Path,
    progress: Progress,
) -> Answers:
    if recipe.kind in (Kind.TFIDF, Kind.EMBEDDING):
        from training.baseline import linear

        return linear.answer(recipe, train, rows, progress)
    if recipe.kind is Kind.ENCODER:
        from training.baseline import encoder

        return encoder.answer(recipe, train, rows, progress)
    if recipe.kind is Kind.SEQ2SEQ:
        from training.baseline import seq2seq

        return seq2seq.answer(recipe, train, rows, progress)
    from training.baseline import endpoint

    return endpoint.answer(recipe, rows, output / CACHE_FILE, progress)


def _base(recipe: BaselineRecipe) -> str | None:
    if recipe.endpoint is not None:
        return recipe.endpoint.model
    return Path(recipe.model).name if recipe.model else None


def _record(row: Example, answer: Read | FreeForm, source: Source) -> Record:
    if isinstance(answer, Read):
        return replace(blank_record(row, source), read=answer)
    return replace(blank_record(row, source), free_form=answer)
