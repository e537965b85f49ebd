"""Shows the response of an analysis to a person: a table of labels, then each explanation.

What goes in is the response's JSON object, from this process or from a service. It is read with
care: a newer service may say more, and what is not understood is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from imhi.tasks import QUESTIONS, UnknownLabelError
from service.cli.terminal import plain

LOW_LABEL_MASS = 0.5
"""Below this the model would rather have said something that is no label."""

LOW_CONSISTENCY = 0.5
"""Below this the explanation alone leads to another label more often than not."""

_BAR_CELLS = 10
_CUT_OFF = {
    "length": "cut off at the token limit",
    "repetition": "ended, since it said the same on and on",
}

Object = Mapping[str, Any]


def show(response: Object, console: Console) -> None:
    """Print a response.

    Args:
        response: what `POST /analyze` returns for one text.
        console: where to.
    """
    if resources := response.get("resources"):
        console.print(Panel(_text(resources), title="If you need help", title_align="left"))
    for result in response.get("results", []):
        answers = result.get("answers", [])
        console.print(_table(answers))
        for answer in answers:
            if answer.get("explanation"):
                console.print(_explanation(answer))
        if cut := _cut(result.get("truncated", [])):
            console.print(cut)
    console.print(
        _text(f"Model {response.get('model')}, wording {response.get('wording_version')}"),
        style="dim",
    )
    if said := response.get("notice"):
        console.print(_text(said), style="italic")


def _table(answers: Sequence[Object]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Question", overflow="fold")
    table.add_column("Label", overflow="fold")
    table.add_column("Probability", no_wrap=True)
    table.add_column("Remarks", overflow="fold")
    for answer in answers:
        abstained = bool(answer.get("abstained"))
        label = Text("not decided") if abstained else _label(answer, "label")
        if answer.get("urgent"):
            label.stylize("bold")
        table.add_row(
            _text(answer.get("question", "")),
            label,
            _bar(float(answer.get("probability", 0.0))),
            _text("; ".join(_remarks(answer))),
        )
    return table


def _remarks(answer: Object) -> list[str]:
    remarks = []
    if answer.get("abstained"):
        remarks.append(f"would be: {_label(answer, 'candidate')}")
    if answer.get("urgent"):
        remarks.append("urgent")
    mass = answer.get("label_mass")
    if mass is not None and mass < LOW_LABEL_MASS:
        remarks.append(f"doubtful: the labels hold {mass:.0%} of the model's probability")
    consistency = answer.get("consistency")
    if consistency is not None and consistency < LOW_CONSISTENCY:
        remarks.append(f"doubtful: the explanation supports the label by {consistency:.0%}")
    return remarks


def _bar(probability: float) -> Text:
    filled = round(probability * _BAR_CELLS)
    return Text.assemble(
        f"{probability:.3f} ",
        ("█" * filled, "cyan"),
        ("░" * (_BAR_CELLS - filled), "dim"),
    )


def _explanation(answer: Object) -> RenderableType:
    heading = Text.assemble(_text(answer.get("question", "")), ": ", _label(answer, "candidate"))
    heading.stylize("bold")
    lines: list[RenderableType] = [_text(answer["explanation"])]
    if (why := _CUT_OFF.get(str(answer.get("finish_reason")))) is not None:
        lines.append(Text(f"({why})", style="dim"))
    for evidence in answer.get("evidence", []):
        place = f"  characters {evidence.get('start')} to {evidence.get('end')}"
        quote = " ".join(plain(str(evidence.get("quote", ""))).split())
        lines.append(Text.assemble("Evidence: “", quote, "”", (place, "dim")))
    return Group(heading, Padding(Group(*lines), (0, 0, 1, 2)))


def _cut(cuts: Sequence[Object]) -> Text | None:
    if not cuts:
        return None
    parts = ", ".join(f"{cut.get('start')} to {cut.get('end')}" for cut in cuts)
    return Text(f"The text was too long; these characters were not read: {parts}.", style="bold")


def _label(answer: Object, field: str) -> Text:
    """The label's name in words, or its id where this release does not know it."""
    label_id = str(answer.get(field) or answer.get("label") or "")
    question = QUESTIONS.get(str(answer.get("question")))
    try:
        return Text(question.label(label_id).name) if question else _text(label_id)
    except UnknownLabelError:
        return _text(label_id)


def _text(value: object) -> Text:
    return Text(plain(str(value)))
