"""What a report on ratings says: from results to a `Document`."""

from __future__ import annotations

from training.annotate.results import ALL, AnnotationResults, CriterionResults
from training.annotate.rubric import RUBRICS
from training.evaluate.document import NOT_MEASURED, Document, Section, Table
from training.evaluate.results import Figure

NOTICE = (
    "These are people's ratings of texts that language models wrote about posts. They say how good "
    "the texts are to readers, not whether anybody suffers from anything, and no figure here is a "
    "diagnosis or a ground for a decision about a person."
)


def document(results: AnnotationResults) -> Document:
    """The whole report."""
    rubric = RUBRICS[results.rubric]
    settings = results.bootstrap
    said = (
        f"{results.ratings:,} ratings of {results.rated:,} of {results.items:,} explanations by "
        f"{len(results.annotators)} annotators ({', '.join(results.annotators)}), on the rubric "
        f"`{rubric.id}` ({rubric.source}), from 0 to 3. In brackets: the {settings.level:.0%} "
        f"bootstrap interval over {settings.resamples:,} resamples of posts."
    )
    return Document(
        title="Explanations rated by people",
        notice=NOTICE,
        sections=(
            Section("means", "Means", (said,), (means_table(results),)),
            Section("agreement", "Agreement", _about_alpha(), agreement_tables(results)),
            Section(
                "metrics",
                "Automatic metrics and people",
                (
                    "How far each metric follows the mean of an explanation's ratings: rank "
                    "correlation over the explanations of all systems, with its bootstrap "
                    "interval. One near 0 says nothing of what people see. A metric can follow "
                    "people only because it tells one system from another: the second table takes "
                    "the mean of each system away first.",
                ),
                (correlation_table(results), within_table(results), _definitions(results)),
            ),
        ),
    )


def means_table(results: AnnotationResults) -> Table:
    """Mean of each criterion, a row a system."""
    rows = tuple(
        (
            system,
            str(max(one.ratings[system] for one in results.criteria)),
            *(_cell(one.means[system]) for one in results.criteria),
        )
        for system in results.systems
    )
    return Table("Mean rating (0 to 3)", ("System", "Ratings", *_titles(results)), rows)


def agreement_tables(results: AnnotationResults) -> tuple[Table, ...]:
    """Krippendorff's alpha by system, and every pair of annotators."""
    names = (ALL, *results.systems) if len(results.systems) > 1 else (ALL,)
    alphas = tuple(
        (
            "All systems" if name == ALL else name,
            *(_number(one.alpha[name]) for one in results.criteria),
        )
        for name in names
    )
    tables = [Table("Krippendorff's alpha, ordinal", ("Items of", *_titles(results)), alphas)]
    rows = tuple(
        (
            f"{pair.annotators[0]} and {pair.annotators[1]}: {_title(results, one)}",
            str(pair.items),
            f"{pair.exact:.0%}",
            f"{pair.close:.0%}",
            _number(pair.kappa),
        )
        for one in results.criteria
        for pair in one.pairs
    )
    if rows:
        header = ("Annotators", "Items", "Same number", "At most 1 apart", "Kappa, quadratic")
        tables.append(Table("Pairs of annotators", header, rows))
    return tuple(tables)


def correlation_table(results: AnnotationResults) -> Table:
    """Spearman's correlation of every metric with every criterion."""
    rows = []
    for place, metric in enumerate(results.metrics):
        found = [one.correlations[place] for one in results.criteria]
        cells = (
            _number(one.spearman)
            + (f" [{_number(one.interval[0])}, {_number(one.interval[1])}]" if one.interval else "")
            for one in found
        )
        rows.append((metric, str(max(one.items for one in found)), *cells))
    return Table(
        "Spearman's correlation with the mean rating",
        ("Metric", "Items", *_titles(results)),
        tuple(rows),
    )


def within_table(results: AnnotationResults) -> Table:
    """The same within systems."""
    rows = tuple(
        (metric, *(_number(one.correlations[place].within) for one in results.criteria))
        for place, metric in enumerate(results.metrics)
    )
    return Table("Spearman's correlation within systems", ("Metric", *_titles(results)), rows)


def _definitions(results: AnnotationResults) -> Table:
    return Table("The metrics", ("Metric", "What it is"), tuple(results.metrics.items()))


def _about_alpha() -> tuple[str, ...]:
    return (
        "Alpha is 1 for perfect agreement and 0 for that of chance. It is low where all "
        "explanations get nearly the same number, however well people agree on it: read it beside "
        "the share of equal numbers.",
    )


def _titles(results: AnnotationResults) -> tuple[str, ...]:
    return tuple(_title(results, one) for one in results.criteria)


def _title(results: AnnotationResults, one: CriterionResults) -> str:
    criteria = {criterion.id: criterion for criterion in RUBRICS[results.rubric].criteria}
    return criteria[one.criterion].title


def _cell(figure: Figure) -> str:
    if figure.value is None:
        return NOT_MEASURED
    shown = f"{figure.value:.3f}"
    return (
        f"{shown} [{figure.interval[0]:.3f}, {figure.interval[1]:.3f}]"
        if figure.interval
        else (shown)
    )


def _number(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
