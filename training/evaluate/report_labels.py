"""The sections of a benchmark report on labels, probabilities and explanations.

Each takes `Results` and returns None where the run has nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from training.evaluate import plots
from training.evaluate.document import NOT_MEASURED, Plot, Section, Table, cell
from training.evaluate.report_cells import (
    by_set,
    figure_of,
    scores_table,
    way_title,
    ways_shown,
)
from training.evaluate.results import (
    BASELINE_PREFIX,
    FREE_FORM,
    READ,
    READ_UNCALIBRATED,
    Figure,
    Results,
    WayResults,
)

_WITHOUT_LABEL = "no label"


def metrics_section(results: Results) -> Section:
    """Every metric of the labels, by way of answering and set."""
    return Section(
        "metrics",
        "Labels",
        tables=tuple(
            by_set(results, way, ("weighted_f1", "macro_f1", "accuracy", "auroc", "unreadable"))
            for way in ways_shown(results)
        ),
    )


def probabilities_section(results: Results) -> Section | None:
    """How far probabilities can be believed, before and after calibration."""
    ways = [way for way in ways_shown(results) if way in (READ, READ_UNCALIBRATED)]
    if not ways:
        return None
    text = (
        "The model brings a calibration: temperature and bias by question, fitted on validation "
        "reads. Where these are the same rows, the calibrated figures are too good; "
        "mentalllama-train calibrate reports them on held-out folds."
        if results.model.calibrated_questions
        else "The model brings no calibration."
    )
    drawings: list[Plot] = []
    for one in results.sets:
        held = {way_title(way, results): one.ways[way] for way in ways if way in one.ways}
        drawings += _probability_plots(one.set, held)
    return Section(
        "probabilities",
        "Probabilities",
        (text,),
        tables=tuple(by_set(results, way, ("ece", "ece_adaptive", "brier", "nll")) for way in ways),
        plots=tuple(drawings),
    )


def _probability_plots(set_id: str, ways: Mapping[str, WayResults]) -> Iterator[Plot]:
    bins = {name: way.reliability for name, way in ways.items() if way.reliability}
    if bins:
        title = f"{set_id}: reliability diagram"
        rows = [
            (
                f"{one.low:.2f} to {one.high:.2f}",
                name,
                str(one.rows),
                _plain(one.confidence),
                _plain(one.accuracy),
            )
            for name, listed in bins.items()
            for one in listed
            if one.rows
        ]
        header = ("Top probability", "Way", "Rows", "Mean probability", "Accuracy")
        yield Plot(
            title, partial(plots.reliability, title, bins), Table(title, header, tuple(rows))
        )
    points = {name: way.coverage for name, way in ways.items() if way.coverage}
    if points:
        title = f"{set_id}: accuracy by coverage"
        curve_rows = [
            (_plain(one.coverage), name, f"{one.min_probability:.3f}", _plain(one.accuracy))
            for name, curve in points.items()
            for one in curve
        ]
        columns = ("Coverage", "Way", "Answered from probability", "Accuracy")
        yield Plot(
            title, partial(plots.coverage, title, points), Table(title, columns, tuple(curve_rows))
        )


def questions_section(results: Results) -> Section | None:
    """The questions of the sets that have several."""
    tables = []
    metrics = ("weighted_f1", "macro_f1", "accuracy", "auroc", "ece")
    for way in ways_shown(results):
        found = [
            (one.set, question, scores)
            for one in results.sets
            if way in one.ways
            for question, scores in one.ways[way].questions.items()
        ]
        if found:
            tables.append(
                scores_table(
                    way_title(way, results),
                    "Set and question",
                    [(f"{set_id}: {question}", scores) for set_id, question, scores in found],
                    metrics,
                )
            )
    return Section("questions", "By question", tables=tuple(tables)) if tables else None


def seen_section(results: Results) -> Section | None:
    """Posts of the training data apart from the others."""
    known = [one for one in results.sets if one.seen_known]
    if not known:
        return None
    tables = []
    for way in ways_shown(results):
        rows = []
        for one in known:
            held = one.ways.get(way)
            if held:
                rows += [(f"{one.set}: all", held.all)]
                rows += [(f"{one.set}: unseen", held.unseen)] if held.unseen else []
                rows += [(f"{one.set}: seen", held.seen)] if held.seen else []
        if rows and not way.startswith(BASELINE_PREFIX):
            tables.append(
                scores_table(way_title(way, results), "Set and posts", rows, ("weighted_f1",))
            )
    origin = f" ({results.data.seen_in})" if results.data.seen_in else ""
    text = (
        f"Posts that also stand in the model's training data{origin}, of whatever set, and posts "
        "that do not. Some sets draw on the same posts."
    )
    return Section("seen", "Seen and unseen posts", (text,), tuple(tables)) if tables else None


def annotation_section(results: Results) -> Section | None:
    """References and answers against the annotators' own labels."""
    known = [one for one in results.sets if one.annotation_rows]
    if not known:
        return None
    ways = ways_shown(results)
    agreement = Table(
        "How often the reference is the annotators' label (%)",
        ("Set", "Rows with both", "Agreement"),
        tuple(
            (one.set, f"{one.annotation_rows:,}", cell(one.annotation_agreement, "accuracy"))
            for one in known
        ),
    )
    against = Table(
        "Weighted F1 (%) against the annotators' labels",
        ("Set", *(way_title(way, results) for way in ways)),
        tuple(
            (
                one.set,
                *(
                    figure_of(one.ways[way].annotation if way in one.ways else None, "weighted_f1")
                    for way in ways
                ),
            )
            for one in known
        ),
    )
    text = (
        "The benchmark's references follow ChatGPT where it disagrees with the annotators, so a "
        "model can be right about either and wrong about the other."
    )
    return Section("annotation", "Agreement with the annotators", (text,), (agreement, against))


def free_form_section(results: Results) -> Section | None:
    """What could be read of free-form responses."""
    held = [(one.set, one.ways[FREE_FORM]) for one in results.sets if FREE_FORM in one.ways]
    if not held:
        return None
    table = Table(
        "Responses",
        (
            "Set",
            "Rows",
            "Without a label (%)",
            "Why",
            "Weighted F1 (%)",
            "Of readable rows alone (%)",
        ),
        tuple(
            (
                set_id,
                f"{way.all.rows:,}",
                figure_of(way.all, "unreadable"),
                ", ".join(f"{name} {count}" for name, count in way.problems.items()),
                figure_of(way.all, "weighted_f1"),
                figure_of(way.readable, "weighted_f1"),
            )
            for set_id, way in held
        ),
    )
    text = (
        "A whole response is generated from the query, greedily, and its label parsed, as the "
        "paper's models answer. A response that names no label, or several, counts as wrong; the "
        "last column leaves such rows out and so flatters a model that answers little."
    )
    return Section("free-form", "Free-form responses", (text,), (table,))


def confusions_section(results: Results) -> Section | None:
    """A confusion matrix a set and way."""
    drawings = []
    for one in results.sets:
        for way in (READ, FREE_FORM):
            if way in one.ways:
                title = f"{one.set}: {way_title(way, results)}"
                matrix = one.ways[way].confusion
                names = [_name(label) for label in matrix.labels] + [_WITHOUT_LABEL]
                table = Table(
                    title,
                    ("Reference / given", *names),
                    tuple(
                        (name, *(str(count) for count in row))
                        for name, row in zip(names, matrix.counts, strict=False)
                    ),
                )
                drawings.append(Plot(title, partial(plots.confusion, title, matrix, names), table))
    text = (
        "Rows: the reference; columns: the label that was given. Darker is a larger share of the "
        "row. The questions of a set are counted together."
    )
    return Section("confusion", "Confusion", (text,), plots=tuple(drawings)) if drawings else None


def explanations_section(results: Results) -> Section | None:
    """The quality of the explanations."""
    held = results.explanations
    if held is None:
        return None
    tables = []
    for way, scores in held.ways.items():
        metrics = list(dict.fromkeys(metric for one in scores for metric in one.figures))
        reasons = dict.fromkeys(
            f"{metric}: {figure.reason}"
            for one in scores
            for metric, figure in one.figures.items()
            if figure.reason
        )
        title = "Of the decided label, as served" if way == READ else way_title(way, results)
        tables.append(
            Table(
                title,
                ("Metric", *(one.set or "All sets" for one in scores)),
                (
                    ("Explanations", *(f"{one.rows:,}" for one in scores)),
                    *(
                        (metric, *(_number_of(one.figures.get(metric)) for one in scores))
                        for metric in metrics
                    ),
                ),
                f"Not measured: {'; '.join(reasons)}" if reasons else "",
            )
        )
    definitions = Table("What they are", ("Metric", "Definition"), tuple(held.definitions.items()))
    if held.definitions:
        tables.append(definitions)
    return Section("explanations", "Explanations", held.notes, tuple(tables))


def _number_of(figure: Figure | None) -> str:
    """A figure of an explanation, in its own unit."""
    if figure is None or figure.value is None:
        return NOT_MEASURED
    shown = f"{figure.value:.3f}"
    if figure.interval:
        shown += " [{:.3f}, {:.3f}]".format(*figure.interval)
    return shown.replace("-", "\N{MINUS SIGN}")


def _plain(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.3f}"


def _name(label_id: str) -> str:
    """A label in words that fit a matrix."""
    return label_id.replace("_", " ")
