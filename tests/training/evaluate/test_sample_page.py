"""The page of samples: everything is on it, nothing in it runs, nobody else may read it."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from training.evaluate.records import Explained, FreeForm, Read, Record
from training.evaluate.sample_page import write_sample_page

HOSTILE = '<script>alert(1)</script><img src="http://example.org/x"> & "quoted" </details>'
RECORD = Record(
    id="dreaddit/val.csv:1:stress",
    set="dreaddit",
    split="val",
    question="stress",
    post=f"I am tired. {HOSTILE}",
    post_key="k",
    reference="no",
    annotation="yes",
    reference_explanation=f"reference {HOSTILE}",
    seen=True,
    read=Read({"yes": -0.1, "no": -2.4}, {"yes": 0.904, "no": 0.096}, 0.5),
    explained=Explained("yes", f"explained {HOSTILE}", "stop", 2, 0.25),
    free_form=FreeForm(f"response {HOSTILE}", "length", 320, None, None, "several_labels"),
    cut=12,
)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def samples(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "details"]


def page(folder: Path, *records: Record) -> Page:
    return Page(write_sample_page(folder, records, "tested").read_text(encoding="utf-8"))


def test_everything_that_is_known_of_a_sample_is_shown(tmp_path: Path) -> None:
    shown = page(tmp_path, RECORD).text
    for text in (
        RECORD.post,
        f"reference {HOSTILE}",
        f"explained {HOSTILE}",
        f"response {HOSTILE}",
        "Does the poster suffer from stress?",
        "yes 0.904, no 0.096; label mass 0.500",
        "annotators: yes",
        "consistency 0.250",
        "several_labels (320 tokens, length)",
        "12 characters",
        "This page holds posts of people in distress",
    ):
        assert text in shown


def test_no_text_becomes_part_of_the_page(tmp_path: Path) -> None:
    found = page(tmp_path, RECORD)
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in found.tags}
    assert len(found.samples()) == 1
    policy = [attributes for tag, attributes in found.tags if "http-equiv" in attributes]
    assert policy[0]["content"].startswith("default-src 'none';")
    targets = [a[name] for _, a in found.tags for name in ("src", "href") if name in a]
    assert targets == ["#dreaddit"]


def test_samples_say_whether_they_are_right_and_have_words(tmp_path: Path) -> None:
    right = replace(RECORD, reference="yes", explained=None, free_form=None)
    freely = replace(RECORD, read=None, free_form=FreeForm("No.", "stop", 1, "no", None, None))
    failed = replace(right, read=None, error="text_too_long", set="SAD", question="stress_cause")
    found = page(tmp_path, failed, RECORD, right, freely)
    assert found.samples() == [  # in the benchmark's order of sets
        {"data-outcome": "wrong", "data-written": None},
        {"data-outcome": "right"},
        {"data-outcome": "right", "data-written": None},
        {"data-outcome": "wrong"},
    ]
    assert "text_too_long" in found.text
