"""What a benchmark report says: from `Results` to a `Document`.

Sections that a run has nothing for (no free-form responses, no annotation, …) are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from training.evaluate import plots
from training.evaluate.document import Document, Plot, Section, Table
from training.evaluate.metrics import METRICS
from training.evaluate.paper import CITATION, PAPER
from training.evaluate.report_cells import mean_of, of_way, value_of, way_title, ways_shown
from training.evaluate.report_labels import (
    annotation_section,
    confusions_section,
    explanations_section,
    free_form_section,
    metrics_section,
    probabilities_section,
    questions_section,
    seen_section,
)
from training.evaluate.results import BASELINE_PREFIX, Results

NOTICE = (
    "These are measurements of research software, not of people. A label is what a language model "
    "reads in a text; it is no diagnosis and no advice, and it can be wrong. The figures hold for "
    "English posts of the benchmark's sources and say nothing about other texts. Do not use the "
    "model for any decision about a person. Helplines by country: findahelpline.com."
)


def report(results: Results) -> Document:
    """Return the report of a run."""
    build: tuple[Callable[[Results], Section | None], ...] = (
        _summary,
        metrics_section,
        probabilities_section,
        _paper,
        questions_section,
        seen_section,
        annotation_section,
        free_form_section,
        confusions_section,
        explanations_section,
        _run,
        _definitions,
    )
    sections = (make(results) for make in build)
    return Document(
        title=f"{results.model.name} on the IMHI benchmark, {results.split} split",
        notice=NOTICE,
        sections=tuple(section for section in sections if section is not None),
    )


def _summary(results: Results) -> Section:
    ways = ways_shown(results)
    sampled = " A sample of the split was measured." if results.data.sampled else ""
    settings = results.bootstrap
    intervals = (
        f" In brackets: the {settings.level:.0%} percentile bootstrap interval by post "
        f"({settings.resamples:,} resamples)."
        if settings.resamples
        else ""
    )
    rows = [
        (
            one.set,
            f"{one.rows:,}",
            f"{one.posts:,}",
            *(of_way(one, way, "weighted_f1") for way in ways),
        )
        for one in results.sets
    ]
    mean = ("Mean", "", "", *(mean_of(results, way, "weighted_f1") for way in ways))
    drawn = {
        way_title(way, results): {
            one.set: one.ways[way].all.figures["weighted_f1"]
            for one in results.sets
            if way in one.ways
        }
        for way in ways
    }
    table = Table(
        "Weighted F1 (%) by set",
        ("Set", "Rows", "Posts", *(way_title(way, results) for way in ways)),
        (*rows, mean),
        _partial(results, ways),
    )
    return Section(
        "summary",
        "Summary",
        (
            f"Measured on the {results.split} split of {results.data.name}, a row being a post and "
            f"a question.{sampled}{intervals} Mean: over the sets, each counted once.",
        ),
        tables=(table,),
        plots=(
            Plot("Weighted F1 by set", partial(plots.bars, "Weighted F1 by set", drawn), table),
        ),
    )


def _partial(results: Results, ways: Sequence[str]) -> str:
    """Says which ways answered only some rows, or some sets."""
    found = [
        f"{way_title(way, results)}: {one.ways[way].all.rows:,} of {one.rows:,} rows of {one.set}"
        for way in ways
        for one in results.sets
        if way in one.ways and one.ways[way].all.rows < one.rows
    ]
    rows = [f"Measured on fewer rows: {'; '.join(found)}."] if found else []
    means = [
        f"The mean of {way_title(way, results)} is over {', '.join(results.mean[way].sets)} alone."
        for way in ways
        if len(results.mean[way].sets) < len(results.sets)
    ]
    return " ".join([*rows, *means])


def _paper(results: Results) -> Section:
    sets = [one.set for one in results.sets]
    ours = [
        (
            f"{results.model.name}, {way_title(way, results)} ({results.split})",
            *(value_of(one, way, "weighted_f1") for one in results.sets),
        )
        for way in ways_shown(results)
        if not way.startswith(BASELINE_PREFIX)
    ]
    theirs = [
        (
            f"{row.model} (test)",
            *(f"{row.weighted_f1[one]:.2f}" if one in row.weighted_f1 else "" for one in sets),
        )
        for row in PAPER
    ]
    warning = (
        ""
        if results.split == "test" and not results.data.sampled
        else f" The two are not comparable: ours are on the {results.split} split"
        f"{', of which a sample' if results.data.sampled else ''}, the paper's on the test split."
    )
    return Section(
        "paper",
        "Beside the paper",
        (
            f"Weighted F1 (%). The paper's rows: {CITATION}; its generative models answer in free "
            f"form; an empty cell is a figure that is not given here.{warning}",
        ),
        tables=(Table("Weighted F1 (%)", ("Model", *sets), (*ours, *theirs)),),
    )


def _run(results: Results) -> Section:
    model, data = results.model, results.data
    facts = {
        "Model": model.name,
        "Base model": model.base_model,
        "Prompt style": model.prompt_style,
        "Wording version": model.wording_version,
        "Calibrated questions": ", ".join(model.calibrated_questions) or "none",
        "Recipe": model.recipe,
        "Licence": model.licence,
        "Fingerprint": model.fingerprint,
        "Data": data.name,
        "Data checksum": data.checksum,
        "Split": results.split,
        "Measured": results.created,
        "Command": results.command,
        "Bootstrap": f"{results.bootstrap.resamples} resamples, seed {results.bootstrap.seed}",
    }
    tables = [Table("The run", ("", "Value"), tuple((k, v) for k, v in facts.items() if v))]
    if results.options:
        tables.append(Table("Settings", ("Setting", "Value"), tuple(results.options.items())))
    if results.environment:
        listed = tuple(results.environment.items())
        tables.append(Table("Environment", ("Part", "Version or size"), listed))
    return Section("run", "How it was measured", tables=tuple(tables))


def _definitions(results: Results) -> Section:
    used = {
        metric for one in results.sets for way in one.ways.values() for metric in way.all.figures
    }
    rows = tuple(
        (one.title, one.description, "higher" if one.higher_is_better else "lower")
        for one in METRICS.values()
        if one.id in used
    )
    table = Table("Metrics", ("Metric", "Definition", "Better"), rows)
    return Section("definitions", "Definitions", tables=(table,))
