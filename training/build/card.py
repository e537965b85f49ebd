"""What a build says of itself: tables for the terminal, and the data card of what it wrote."""

from __future__ import annotations

from training.build.results import BuildResults, Outcome
from training.check.content import NOTICE
from training.evaluate.document import Document, Section, Table, cell

_SHARE = "accuracy"  # shown as a percentage with its interval


def reading_table(results: BuildResults) -> Table:
    """What was read, by file."""
    rows = tuple(
        (
            one.set,
            one.split,
            one.source,
            f"{one.rows:,}",
            f"{one.examples:,}",
            "; ".join(f"{reason}: {n:,}" for reason, n in one.skipped.items()) or "0",
            f"{one.marks_found:,} of {one.marks:,}" if one.marks else "",
        )
        for one in results.files
    )
    header = ("Set", "Split", "File", "Rows", "Examples", "Skipped", "Marks found")
    removed = ", ".join(f"{rule} {n:,}" for rule, n in results.removed.items()) or "none"
    mended = ", ".join(f"{rule} {n:,}" for rule, n in results.mended.items()) or "none"
    note = f"Rows removed from train by rule: {removed}. Texts mended: {mended}."
    return Table("Sources", header, rows, note)


def outcome_table(results: BuildResults) -> Table:
    """What became of the rows, by set."""
    rows = tuple(
        (
            one.set,
            f"{one.asked:,}",
            *(f"{one.outcomes.get(outcome, 0):,}" for outcome in Outcome),
            cell(one.explained, _SHARE),
            ", ".join(f"{rule} {n:,}" for rule, n in one.reasons.items()) or "",
            f"{cell(one.agreement, _SHARE)} of {one.asked_freely:,}" if one.asked_freely else "",
        )
        for one in results.sets
    )
    header = (
        "Set",
        "Asked",
        *(outcome.value.replace("_", " ") for outcome in Outcome),
        "Explained, %",
        "Rejected for",
        "Agrees without the label, %",
    )
    return Table("What the teacher answered", header, rows, results.warning)


def usage_sentence(results: BuildResults) -> str:
    """What it cost, in a sentence."""
    usage = results.usage
    retries = ", ".join(f"{reason} {n:,}" for reason, n in usage.retries.items()) or "none"
    cost = f", {usage.cost:,.2f} {usage.currency}" if usage.cost else ""
    return (
        f"{usage.sent:,} requests in this run and {usage.cached:,} answered before: "
        f"{usage.prompt_tokens:,} prompt tokens and {usage.completion_tokens:,} completion "
        f"tokens{cost}. Sent again: {retries}."
    )


def document(results: BuildResults) -> Document:
    """The data card."""
    told = (
        f"Explanations by {results.teacher}, with {results.few_shot} expert examples of each label "
        "and the annotators' label given. A row whose explanation was left out keeps its label."
    )
    warning = (results.warning,) if results.warning else ()
    return Document(
        title=f"{results.name}: explained rows",
        notice=NOTICE,
        sections=(
            Section(
                "explanations",
                "Explanations",
                (told, *warning, usage_sentence(results)),
                (outcome_table(results),),
            ),
            Section("sources", "Sources", (), (reading_table(results),)),
            Section(
                "use",
                "Use",
                (
                    "The posts were written by people in distress. Keep the files where they are "
                    "needed, do not publish them, do not try to find out who wrote them, and keep "
                    "to the terms of each source.",
                ),
            ),
        ),
    )
