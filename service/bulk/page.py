"""The summary as one page: plots of labels and confidence, nothing from outside, no post."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from service.bulk.summary import Summary
from service.bulk.tally import BINS, LOW_MASS, Counts

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --muted: #5b6875; --paper: #fff; --line: #d9e0e6;
  --bar: #2f6f8f; --doubt: #9a6a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --muted: #a3b0bc; --paper: #14191f;
  --line: #313b45; --bar: #6db3d3; --doubt: #e0b050; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p.notice { border-left: 4px solid var(--bar); padding: .25rem 0 .25rem 1rem; color: var(--muted); }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--muted); }
th, td { text-align: left; padding: .2rem .75rem .2rem 0; border-bottom: 1px solid var(--line);
  font-weight: normal; vertical-align: middle; }
td.number { text-align: right; white-space: nowrap; }
td.bar { width: 55%; } .pair th { white-space: nowrap; }
svg { display: block; width: 100%; height: .9rem; }
rect { fill: var(--bar); } tr.doubt rect { fill: var(--doubt); }
.pair { display: grid; gap: 1.5rem 2.5rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); }
"""
_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'\">"
)

ABSTAINED = "(undecided)"


def to_page(summary: Summary) -> str:
    """The page."""
    tally = summary.tally
    failed = sum(tally.failed.values())
    speed = summary.rows_per_second
    facts = {
        "Rows": f"{tally.rows:,}",
        "With answers": f"{tally.rows - failed:,}",
        "Failed": f"{failed:,}",
        "With an urgent answer": f"{tally.urgent:,}",
        "Cut to fit the model": f"{tally.truncated:,}",
        "Speed": f"{speed:,.1f} rows a second" if speed else "not known",
        "Model": summary.model,
        "Files": ", ".join(summary.files),
    }
    failures = _bars("Why rows failed", tally.failed, tally.rows) if failed else ""
    questions = "".join(_question(name, one) for name, one in tally.questions.items())
    return (
        f"{_HEAD}<title>{escape(summary.result)}: summary</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(summary.result)}</h1>"
        f'<p class="notice">{escape(summary.notice)}</p>{_facts(facts)}{failures}{questions}'
        "</main></body></html>\n"
    )


def _question(name: str, counts: Counts) -> str:
    labels = dict(sorted(counts.labels.items(), key=lambda one: -one[1]))
    if counts.abstained:
        labels[ABSTAINED] = counts.abstained
    width = 100 // BINS
    bins = {
        f"{place * width}\N{EN DASH}{(place + 1) * width}%": count
        for place, count in enumerate(counts.confidence)
    }
    facts = {"Mean probability": f"{counts.probability / counts.answers:.2f}"}
    total, explained = counts.consistent
    if explained:
        facts["Mean consistency"] = f"{total / explained:.2f}"
    if counts.low_mass:
        facts[f"Label mass below {LOW_MASS}"] = f"{counts.low_mass:,}"
    return (
        f'<section><h2>{escape(name)}</h2>{_facts(facts)}<div class="pair">'
        f"{_bars('Labels', labels, counts.answers)}"
        f"{_bars('Probability of the label', bins, counts.answers)}</div></section>"
    )


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _bars(title: str, counts: Mapping[str, int], total: int) -> str:
    rows = "".join(_rows(counts, total))
    return f"<table><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>"


def _rows(counts: Mapping[str, int], total: int) -> Iterable[str]:
    most = max(counts.values(), default=0) or 1
    for name, count in counts.items():
        kind = ' class="doubt"' if name == ABSTAINED else ""
        yield (
            f"<tr{kind}><th scope='row'>{escape(name)}</th><td class='bar'>"
            "<svg viewBox='0 0 100 10' preserveAspectRatio='none' aria-hidden='true'>"
            f"<rect width='{100 * count / most:.2f}' height='10'/></svg></td>"
            f"<td class='number'>{count:,} ({count / total:.1%})</td></tr>"
        )
