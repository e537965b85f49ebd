"""The data card: the report as a page, with the header that dataset hubs read.

`render_card` is a pure function of the report of `training.data.report`. Terms of use and sources
of the sets are those that their authors state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imhi.tasks import DATASETS

_HEADER = """\
---
language: en
license: other
license_name: non-clinical-research-only
pretty_name: IMHI, prepared for MentalLLaMA
task_categories:
- text-classification
- text-generation
tags:
- mental-health
- explanations
configs:
- config_name: default
  data_files:
  - split: train
    path: train.parquet
  - split: validation
    path: val.parquet
  - split: test
    path: test.parquet
---
"""

_USE = """\
# IMHI, prepared for MentalLLaMA

Posts with a question, a label and, where there is one, an explanation: the rows of the IMHI
benchmark (arXiv 2309.13567) that were at hand, read, mended and cleaned by `mentalllama-train data
prepare`. A label says how a text was annotated, or what ChatGPT answered about it; it is no finding
about the person who wrote it.

## Terms

- The released IMHI rows are for **non-clinical research only**; their repository is under the MIT
  licence.
- IRF and MultiWD: public repositories of their authors, without a licence file.
- CAMS: free for research.
- The posts were written by people in distress. Keep the files where they are needed, do not publish
  them, and do not try to find out who wrote them.

## Columns

| column | what it holds |
|---|---|
| `id` | unique: `source:row:question` |
| `post` | the text |
| `post_key` | the same for posts that are equal but for case, spaces, marks and punctuation |
| `set`, `split` | data set, and `train`, `val` or `test` |
| `question`, `label` | ids, as in `imhi.tasks` |
| `annotation` | the annotators' label where it is known, else null |
| `explanation` | why, in words; null for a label-only row |
| `evidence` | what annotators marked in the post: `start` and `end`, in Unicode code points; null \
where nobody was asked to, or nothing of it was found |
| `origin` | whose label it is: `reference` (the benchmark's, written by ChatGPT) or `annotation` |
| `source`, `row` | the file that it was read from, and the row in it |
"""


def render_card(report: Mapping[str, Any]) -> str:
    """Return the card in Markdown."""
    sections = [
        _HEADER + "\n" + _USE,
        _rows(report),
        _missing(report),
        _rules(report),
        _annotations(report),
        _written(report),
        _contamination(report),
        _again(report),
    ]
    return "\n".join(sections)


def _rows(report: Mapping[str, Any]) -> str:
    counts = [
        (
            set_id,
            split,
            row["rows"],
            row["posts"],
            row["explanations"],
            row["annotations"],
            row["marked"],
        )
        for set_id, splits in report["rows"].items()
        for split, row in splits.items()
    ]
    labels = [
        (set_id, split, question, ", ".join(f"{label} {n}" for label, n in of.items()))
        for set_id, splits in report["rows"].items()
        for split, row in splits.items()
        for question, of in row["labels"].items()
    ]
    held = report["held_out"]
    text = "## Rows\n\n" + _table(
        ("set", "split", "rows", "posts", "explanations", "annotations", "with marks"), counts
    )
    if held:
        text += (
            "\nNo validation rows were released for "
            + ", ".join(f"{set_id} ({n} rows held out of train)" for set_id, n in held.items())
            + f"; posts were taken whole, by label, with seed {report['options']['seed']}, those "
            "first that stand in a val or test split of another set.\n"
        )
    return text + "\n## Labels\n\n" + _table(("set", "split", "question", "rows by label"), labels)


def _missing(report: Mapping[str, Any]) -> str:
    lines = [
        f"- {set_id} ({DATASETS[set_id].source}): {', '.join(splits)}"
        for set_id, splits in report["missing"]["released"].items()
    ]
    lines += [f"- `{source}`" for source in report["missing"]["raw"]]
    unread = len(report["unread"])
    return (
        "## Not there\n\nReleased or raw files that were not in the data folder:\n\n"
        + ("\n".join(lines) or "none")
        + f"\n\nRows that could not be read: {unread}"
        + (" (by row and reason in `report.json`).\n" if unread else ".\n")
    )


def _rules(report: Mapping[str, Any]) -> str:
    rows = []
    for rule in report["rules"]:
        if rule["effect"] == "mended":
            found = applied = rule["by_file"]
        else:
            found, applied = rule["found"], rule["applied"]
        effect = rule["effect"].replace("_", " ") + ("" if rule["on"] else " (off)")
        rows.append(
            (
                f"`{rule['id']}`",
                rule["description"],
                effect,
                sum(found.values()),
                sum(applied.values()),
            )
        )
    where = "everywhere" if report["options"]["everywhere"] else "on train alone"
    return (
        "## Rules\n\nText is mended in all splits; the other rules have their effect "
        f"{where}. Ids of the rows are in `report.json`. *Label only*: the explanation is left "
        "out, the label stays.\n\n"
        + _table(("rule", "finds", "effect", "rows found", "rows changed"), rows)
    )


def _annotations(report: Mapping[str, Any]) -> str:
    raw = report["raw"]
    agreement = [
        (own, row["rows"], f"{row['agree'] / row['rows']:.1%}")
        for own, row in raw["agreement"].items()
    ]
    marks = [
        (set_id, row["rows"], row["marked"], row["found"], row["rows_not_found"])
        for set_id, row in raw["marks"].items()
    ]
    text = "## The annotators' own labels\n\n"
    text += f"Raw rows that became examples of their own: {sum(raw['added'].values())}.\n"
    if agreement:
        text += "\nAgreement of the reference labels with them:\n\n"
        text += _table(("part", "rows with both", "agree"), agreement)
    if marks:
        text += "\nWhat annotators marked in posts, and how much of it was found there:\n\n"
        text += _table(
            ("set", "rows with marks", "marks", "marks found", "rows without any found"), marks
        )
    return text


def _written(report: Mapping[str, Any]) -> str:
    text = "## Explanations written by rule\n\n"
    if not report["options"]["write_explanations"]:
        return text + "none\n"
    return (
        text + "For annotators' train rows, from the words that they marked in the post, or, where "
        "nobody marked any, from words of the question's subject; no model and no person wrote "
        "them.\n\n" + _table(("set", "explanations"), report["written"].items())
    )


def _contamination(report: Mapping[str, Any]) -> str:
    shared, near = report["shared"], report["near"]
    crossing = [
        (own, other, n, "removed" if shared["removed"][own.rpartition("/")[2]] else "kept")
        for own, others in shared["by_part"].items()
        for other, n in others.items()
    ]
    close = [
        (own, other, n, "removed" if near["removed"] else "kept")
        for own, others in near["by_part"].items()
        for other, n in others.items()
    ]
    heads = ("rows of", "whose post stands in", "rows", "")
    text = "## Contamination\n\nRows whose post stands in a later split, of any set:\n\n"
    text += _table(heads, crossing) if crossing else "none\n"
    text += (
        "\nTrain rows whose post is nearly the same as one in val or test (Jaccard similarity of "
        f"three-word shingles of at least {near['similarity']}):\n\n"
    )
    text += _table(heads, close) if close else "none\n"
    for title, name in (
        ("Posts that stand in two parts, equal, before these rows were removed", "equal_posts"),
        ("Posts of the first part with a near one in the second", "near_posts"),
    ):
        counts = report[name]
        text += f"\n{title}:\n\n"
        text += _matrix(counts) if counts else "none\n"
    return text + "\nThe rows are in `duplicates.json`.\n"


def _again(report: Mapping[str, Any]) -> str:
    options = report["options"]
    words = ["mentalllama-train data prepare DATA_FOLDER --output DIR", f"--seed {options['seed']}"]
    if set(options["sets"]) != set(DATASETS):
        words.append(f"--sets {','.join(options['sets'])}")
    words += [f"--without {rule}" for rule in options["without"]]
    words += ["--everywhere"] if options["everywhere"] else []
    words += [f"--quotes-found {options['quotes_found']}"] if options["quotes_found"] != 1 else []
    words += [] if options["remove_shared"] else ["--keep-shared"]
    words += [] if options["remove_near"] else ["--keep-near"]
    words += [] if options["hold_out"] else ["--no-hold-out"]
    words += ["--write-explanations"] if options["write_explanations"] else []
    made = ", ".join(f"{name} {version}" for name, version in report["made_with"].items())
    files = [(f"`{name}`", file["rows"], file["sha256"]) for name, file in report["files"].items()]
    return (
        f"## Made again\n\n```\n{' '.join(words)}\n```\n\nMade with {made}; the same versions give "
        "the same bytes. `sha256sum --check checksums.sha256` checks the files. They were made "
        "from:\n\n" + _table(("file", "rows", "SHA-256"), files)
    )


def _matrix(counts: Mapping[str, Mapping[str, int]]) -> str:
    parts = list(counts)
    return _table(("", *parts), [(one, *(counts[one].get(p, "") for p in parts)) for one in parts])


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"
