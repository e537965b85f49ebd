"""What a check says: from results to a `Document`, without any text of the rows."""

from __future__ import annotations

from training.check.results import CheckResults
from training.evaluate.document import NOT_MEASURED, Document, Section, Table
from training.evaluate.results import Figure

NOTICE = (
    "This is about training data: posts, labels that a language model or annotators gave them, and "
    "explanations of these. No figure here is about a person, and no label is a diagnosis."
)


def document(results: CheckResults) -> Document:
    """The report."""
    rows = sum(one.rows for one in results.sets)
    explained = sum(one.explained for one in results.sets)
    said = (
        f"{results.source}, {' and '.join(results.splits)}: {rows:,} rows, {explained:,} of them "
        f"with an explanation."
    )
    unread = f" {results.unread:,} rows could not be read at all." if results.unread else ""
    verdict = (
        "reject: not to be learned from; review: a person should look; note: counted, no more. A "
        "row has the gravest verdict of the rules that found something in it."
    )
    return Document(
        title="Explained data, checked",
        notice=NOTICE,
        sections=(
            Section("verdicts", "Verdicts", (said + unread, verdict), (verdict_table(results),)),
            Section(
                "faults",
                "What was found",
                ("A row can have several faults.",),
                (fault_table(results), _definitions(results)),
            ),
            Section(
                "measures",
                "Correctness, consistency, quality",
                (
                    "Correctness: share of labels that are the annotators', where theirs are known "
                    "(Wilson interval). Consistency: weighted F1 of a classifier from explanation "
                    f"to label, read on posts that it did not learn from ({results.reader}; "
                    "bootstrap interval by post). The paper's classifiers reached 93.5 and more, "
                    "on SAD 86.6.",
                ),
                (measure_table(results),),
            ),
        ),
    )


def verdict_table(results: CheckResults) -> Table:
    """Verdicts by set."""
    names = ("ok", "note", "review", "reject")
    rows = tuple(
        (one.set, f"{one.rows:,}", f"{one.explained:,}", *(f"{one.verdicts[n]:,}" for n in names))
        for one in results.sets
    )
    return Table("Rows by verdict", ("Set", "Rows", "Explained", *names), rows)


def fault_table(results: CheckResults) -> Table:
    """Rows that each rule found, by set."""
    sets = [one.set for one in results.sets]
    rows = tuple(
        (
            rule.id,
            rule.action,
            *(f"{rule.found.get(name, 0):,}" for name in sets),
            f"{sum(rule.found.values()):,}",
        )
        for rule in results.rules
        if rule.action != "off"
    )
    return Table("Rows with a fault", ("Rule", "Verdict", *sets, "All"), rows)


def measure_table(results: CheckResults) -> Table:
    """The measures, a row a set."""
    rows = tuple(
        (
            one.set,
            f"{one.annotated:,}",
            _percent(one.correctness),
            f"{one.read:,}",
            _percent(one.consistency),
            f"{one.quotes:,}",
            _percent(one.quotes_found),
            _number(one.words, 0),
            f"{one.with_expert:,}",
            _number(one.bertscore, 3),
            _number(one.bartscore, 3),
        )
        for one in results.sets
    )
    header = (
        *("Set", "Annotated", "Correct (%)", "Read", "Consistent, F1 (%)", "Quotes"),
        *("In the post (%)", "Words, median", "With expert", "BERTScore", "BARTScore"),
    )
    return Table("Measures", header, rows)


def _definitions(results: CheckResults) -> Table:
    rows = tuple((rule.id, rule.description) for rule in results.rules)
    return Table("The rules", ("Rule", "What it finds"), rows)


def _percent(figure: Figure) -> str:
    if figure.value is None:
        return NOT_MEASURED
    shown = f"{figure.value:.1%}".rstrip("%")
    if figure.interval is None:
        return shown
    low, high = (f"{bound * 100:.1f}" for bound in figure.interval)
    return f"{shown} [{low}, {high}]"


def _number(figure: Figure, digits: int) -> str:
    return NOT_MEASURED if figure.value is None else f"{figure.value:.{digits}f}"
