"""The reports: what stands in them, and that they are safe and whole by themselves."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from tests.training.evaluate.made_records import made_records, with_free_form
from tests.training.evaluate.test_summary import summary_of
from training.evaluate import plots
from training.evaluate.report_content import report
from training.evaluate.report_html import to_html
from training.evaluate.report_markdown import to_markdown
from training.evaluate.results import (
    READ,
    DataSummary,
    ExplanationResults,
    ExplanationScores,
    Figure,
    ModelSummary,
    Results,
)

pytestmark = pytest.mark.xdist_group("training-reports")

VOID = {"meta", "br", "hr", "img", "link", "input"}


@pytest.fixture(scope="module")
def results() -> Results:
    records = with_free_form(made_records(("DR", "SAD", "IRF"), 30))
    explanations = ExplanationResults(
        ways={
            READ: (
                ExplanationScores(
                    rows=30,
                    figures={
                        "rouge_l": Figure(value=0.31, interval=(0.3, 0.32)),
                        "bartscore": Figure(reason="The model is not here."),
                    },
                ),
            )
        },
        definitions={"rouge_l": "Longest common subsequence."},
        notes=("Explanations are generated text.",),
    )
    measured = summary_of(
        records,
        baselines={"majority": {record.id: record.reference for record in records}},
        explanations=explanations,
    )
    model = ModelSummary(name="tiny", calibrated_questions=("depression",))
    return measured.model_copy(update={"model": model})


@pytest.fixture(scope="module")
def page(results: Results) -> str:
    return to_html(report(results))


class Structure(HTMLParser):
    """Collects what a page refers to and whether its elements close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.elements: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "xlink:href", "src", "action", "data", "srcset"}:
                self.targets.append(value or "")
            self.targets += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_asks_for_nothing_outside_itself(page: str) -> None:
    structure = Structure(page)
    assert structure.targets
    assert all(target.startswith("#") for target in structure.targets)
    assert not {"script", "link", "iframe", "img"} & set(structure.elements)
    assert "default-src 'none'" in page


def test_the_pages_elements_close_and_its_links_have_targets(page: str) -> None:
    structure = Structure(page)
    assert not structure.open
    assert len(structure.ids) == len(set(structure.ids))
    assert {target[1:] for target in structure.targets} <= set(structure.ids)


def test_every_plot_has_a_name_and_a_table_and_no_colour_of_its_own(page: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    # Bars; a reliability diagram and a coverage curve a set; two matrices a set.
    assert len(figures) == 1 + 3 * 2 + 3 * 2
    for figure in figures:
        assert "<table>" in figure
        drawing = figure[figure.index("<svg") : figure.index("</svg>") + 6]
        root = ElementTree.fromstring(drawing)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert not re.search(r"(fill|stroke): ?#", drawing)


def test_bars_may_lack_intervals_and_one_name_needs_no_legend() -> None:
    drawing = plots.bars("Weighted F1", {"Label reads": {"DR": Figure(value=0.5)}})
    assert 'aria-label="Weighted F1"' in drawing
    assert "DR" in drawing
    assert "Label reads" not in drawing


def test_pages_of_equal_results_are_equal(results: Results, page: str) -> None:
    assert to_html(report(results)) == page


@pytest.mark.usefixtures("no_drawings")
def test_names_are_escaped(results: Results) -> None:
    sly = "<script>alert(1)</script>|`x`"
    named = results.model_copy(
        update={
            "model": ModelSummary(name=sly, calibrated_questions=("depression",)),
            "data": DataSummary(name='"><img src=x>', checksum="0"),
        }
    )
    page, text = to_html(report(named)), to_markdown(report(named))
    assert "<script" not in page
    assert "<img" not in page
    assert "<script" not in text.replace("\\<script", "")
    assert r"\<script>alert(1)\</script>\|\`x\`" in text


def test_rows_of_a_markdown_table_have_one_width(results: Results) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", to_markdown(report(results)), re.MULTILINE)
    assert len(tables) > 10
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_both_forms_say_what_matters(results: Results, page: str, form: str) -> None:
    text = page if form == "html" else to_markdown(report(results))
    figure = results.sets[0].ways[READ].all.figures["weighted_f1"]
    assert figure.value is not None
    assert figure.interval is not None
    shown = f"{figure.value * 100:.1f} [{figure.interval[0] * 100:.1f}, "
    assert shown in text
    for words in (
        "no diagnosis and no advice",
        "MentaLLaMA-chat-13B (test)",
        "arXiv 2309.13567",
        "not comparable: ours are on the val split",
        "Baseline: majority",
        "Label reads, uncalibrated",
        "Seen and unseen posts",
        "Agreement with the annotators",
        "Longest common subsequence.",
        "The model is not here.",
        "mentalllama-train evaluate tiny",
    ):
        assert words in text
    for words in ("canal", "boats"):
        assert words not in text


def test_a_whole_test_split_is_set_beside_the_paper_without_a_warning(results: Results) -> None:
    test = results.model_copy(update={"split": "test"})
    assert "not comparable" not in to_markdown(report(test))
    sampled = results.data.model_copy(update={"sampled": True})
    sample = to_markdown(report(test.model_copy(update={"data": sampled})))
    assert "not comparable: ours are on the test split, of which a sample" in sample


def test_what_was_not_measured_has_no_section() -> None:
    records = made_records(("DR",), 10)
    plain = summary_of([record for record in records if record.seen is False])
    ids = [section.id for section in report(plain).sections]
    assert "free-form" not in ids
    assert "explanations" not in ids
    assert "questions" not in ids
    # The model brings no calibration: the uncalibrated reads would be the same.
    assert "uncalibrated" not in to_markdown(report(plain))


def test_a_way_of_some_rows_and_sets_says_so() -> None:
    records = made_records(("DR", "SAD"), 20)
    text = to_markdown(report(summary_of(with_free_form(records[:5]) + records[5:])))
    assert "Measured on fewer rows: Free form: 5 of 20 rows of DR." in text
    assert "The mean of Free form is over DR alone." in text
