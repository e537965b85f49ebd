"""What a person sees of a response."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from service.cli.report import show


@pytest.fixture
def shown():
    def render(response: dict[str, object], **options: object) -> str:
        file = io.StringIO()
        console = Console(file=file, width=100, highlight=False, markup=False, **options)
        show(response, console)
        return file.getvalue()

    return render


def row(text: str, question: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(question))


def test_whole(shown, make_response):
    lines = [line.rstrip() for line in shown(make_response("stress")).splitlines()]
    assert lines == [
        "",
        " Question   Label   Probability        Remarks",
        " ─────────────────────────────────────────────",
        " stress     yes     0.750 ████████░░",
        "",
        "stress: yes",
        '  The poster says "I"',
        "  Evidence: “I”  characters 0 to 1",
        "",
        "Model served-model, wording imhi-1",
        "This is no diagnosis.",
    ]


def test_labels_are_shown_in_words(shown, make_response):
    response = make_response("mental_disorder.tsid")
    assert "no mental disorders" in row(shown(response), "mental_disorder.tsid")


def test_names_of_a_later_release_are_shown_as_they_are(shown, make_response):
    response = make_response("stress", question="sleep.quality", label="poor", candidate="poor")
    assert "poor" in row(shown(response), "sleep.quality")
    response = make_response("stress", label="perhaps", candidate="perhaps")
    assert "perhaps" in row(shown(response), "stress")


def test_an_abstention(shown, make_response):
    line = row(shown(make_response("stress", label=None, abstained=True)), "stress")
    assert "not decided" in line
    assert "would be: yes" in line


def test_resources_come_first(shown, make_response):
    response = make_response(
        "mental_disorder.swmh", label="suicide", candidate="suicide", urgent=True
    )
    response["resources"] = "Call someone."
    text = shown(response)
    assert "urgent" in row(text, "mental_disorder.swmh")
    assert 0 < text.index("Call someone.") < text.index("Question")


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"label_mass": 0.12}, "12%"), ({"consistency": 0.31}, "31%")],
)
def test_doubts(shown, make_response, changes, said):
    text = shown(make_response("stress", **changes))
    assert "doubtful" in text
    assert said in text
    assert "doubtful" not in shown(make_response("stress"))


def test_a_cut_explanation_says_so(shown, make_response):
    assert "cut off" in shown(make_response("stress", finish_reason="length"))
    looped = shown(make_response("stress", finish_reason="repetition"))
    assert "on and on" in looped
    assert "cut off" not in looped


def test_a_text_is_never_obeyed(shown, make_response):
    response = make_response(
        "stress",
        explanation="[bold]as written[/bold]\x1b]0;title\x07 \x9b31m\u202eback :smile:",
        evidence=[{"quote": "two\n\x1b[2Jlines", "start": 0, "end": 9}],
    )
    text = shown(response)
    assert "[bold]as written[/bold]" in text
    assert ":smile:" in text
    assert "“two [2Jlines”" in text
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)


def test_colours_on_a_terminal_only(shown, make_response):
    response = make_response("stress")
    assert "\x1b[" in shown(response, force_terminal=True, color_system="standard")
    assert "\x1b[" not in shown(response)
