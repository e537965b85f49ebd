"""A check on rows with known faults: each rule finds its own, verdicts add up, no text leaks."""

from __future__ import annotations

import csv
import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imhi.tasks import QUESTIONS
from tests.training.data.folders import STRESS, example, small_folder
from training.check.consistency import inconsistent, read_explanations
from training.check.content import document
from training.check.experts import Likeness, likeness, read_experts
from training.check.page import write_page
from training.check.recipe import Action, CheckRecipe, Consistency, load_check_recipe
from training.check.rules import RULES
from training.check.run import (
    DISAGREEMENTS_FILE,
    VERDICTS_FILE,
    Rows,
    check,
    load_rows,
    write_verdicts,
)
from training.data.example import Example, Origin, Split
from training.data.preparation import Options, prepare
from training.errors import DataError, RecipeError
from training.evaluate.report_markdown import to_markdown

DEPRESSION = QUESTIONS["depression"]
SOUND = "The poster writes that they cannot sleep, which shows how much strain they are under."
POST = "I cannot sleep before my exams and my boss shouts at me. So I walk around all night long."


def row(number: int, explanation: str | None = SOUND, label: str = "yes", **changes) -> Example:
    post = changes.pop("post", f"{POST} This is entry {number}.")
    return replace(example(post, STRESS, label, row=number, explanation=explanation), **changes)


FAULTY = {
    "broken": row(1, post="#NAME?"),
    "short": row(2, post="oh no"),
    "not-english": row(
        3, post="Ich kann seit meiner Prüfung nicht schlafen, und mein Chef tobt laut."
    ),
    "leaked-examples": row(4, f"As in the first example, this is so. {SOUND}"),
    "refusals": row(5, "As an AI language model I cannot say whether the poster suffers at all."),
    "cut-off": row(6, f"{SOUND} And then they also"),
    "contrary-verdict": row(7, f"{SOUND} So the poster does not suffer from stress."),
    "quotes": row(8, f'{SOUND} They say "I am the king of Spain" as well.'),
    "copies-post": row(
        9, f"The post says: {POST}", post=POST.replace("I cannot", "Honestly, I cannot")
    ),
    "repeats": row(10, f"{SOUND} {SOUND}"),
    "length": row(11, "They cannot sleep."),
    "explanation-not-english": row(
        12, "Der Mensch schreibt, dass er nicht schlafen kann und dass sein Chef laut tobt."
    ),
    "clinical-words": row(13, f"{SOUND} This is pathological."),
    "disagrees": row(14, annotation=STRESS.label("no")),
    "contradictions": row(15, label="no", post="This very post stands here twice, and differs."),
    "duplicates": row(17, post="And this one stands here twice, and says the same both times."),
}
MORE = (
    replace(FAULTY["contradictions"], row=16, label=STRESS.label("yes")),
    replace(FAULTY["duplicates"], row=18),
    row(19),
)
ROWS = Rows((*FAULTY.values(), *MORE), frozenset({FAULTY["short"].id}), 2, "made-up")
RECIPE = load_check_recipe(None)


@pytest.mark.parametrize("rule", FAULTY)
def test_each_rule_finds_its_fault(rule: str) -> None:
    checked = check(ROWS, RECIPE)
    _, reasons = checked.verdicts[FAULTY[rule].id]
    if rule == "duplicates":  # one of the two stays
        reasons = (*reasons, *checked.verdicts[MORE[1].id][1])
    assert rule in reasons
    assert checked.examples[rule]


def test_the_gravest_finding_is_the_verdict() -> None:
    verdicts = check(ROWS, RECIPE).verdicts
    assert verdicts[MORE[2].id] == ("ok", ())
    assert verdicts[FAULTY["disagrees"].id] == ("review", ("disagrees",))
    assert verdicts[FAULTY["clinical-words"].id] == ("note", ("clinical-words",))
    verdict, reasons = verdicts[FAULTY["short"].id]
    assert verdict == "reject"
    assert reasons[0] == "short"
    assert reasons[-1] == "text-damaged"
    looser = RECIPE.model_copy(update={"actions": {"repeats": Action.OFF, "quotes": Action.NOTE}})
    assert check(ROWS, looser).verdicts[FAULTY["repeats"].id][0] == "ok"
    assert check(ROWS, looser).verdicts[FAULTY["quotes"].id][0] == "note"


def test_counts_and_shares() -> None:
    [dreaddit] = check(ROWS, RECIPE).results.sets
    assert (dreaddit.rows, dreaddit.explained, dreaddit.annotated) == (19, 19, 1)
    assert dreaddit.correctness.value == 0
    assert dreaddit.correctness.interval is not None
    assert dreaddit.correctness.interval[1] == pytest.approx(0.7935, abs=1e-3)  # Wilson, 0 of 1
    assert sum(dreaddit.verdicts.values()) == 19
    assert (dreaddit.quotes, dreaddit.quotes_found.value) == (1, 0)
    assert dreaddit.consistency.value is None  # too few explanations to learn from
    assert dreaddit.bertscore.reason


def labelled(rows: int = 60) -> list[Example]:
    """Explanations that say their label, five on other grounds than it."""
    said = {"yes": "They are worn out by pressure and strain.", "no": "They are calm and content."}
    made = []
    for number in range(rows):
        label = "yes" if number % 2 else "no"
        grounds = said[label] if number >= 5 else said["no" if label == "yes" else "yes"]
        made.append(row(number, f"{grounds} Entry {number} shows it plainly.", label))
    return made


@pytest.mark.parametrize("hide", [False, True])
def test_explanations_that_argue_for_another_label_are_found(hide: bool) -> None:
    rows = labelled()
    settings = Consistency(folds=3, min_rows=5, hide_labels=hide)
    readings = read_explanations(rows, settings, embed=None, seed=0)
    assert readings.keys() == {one.id for one in rows}
    assert inconsistent(rows, readings, 0.5) == {one.id for one in rows[:5]}
    results = check(Rows(tuple(rows), frozenset(), 0, "x"), CheckRecipe(consistency=settings))
    [dreaddit] = results.results.sets
    assert dreaddit.consistency.value == pytest.approx(55 / 60, abs=0.01)
    assert dreaddit.read == 60


def test_an_encoders_vectors_take_the_place_of_words() -> None:
    rows = labelled()

    def embed(texts: list[str]) -> np.ndarray:
        return np.array([[float("calm" in text), float("worn" in text)] for text in texts])

    settings = Consistency(folds=3, min_rows=5)
    readings = read_explanations(rows, settings, embed=embed, seed=0)
    assert inconsistent(rows, readings, 0.5) == {one.id for one in rows[:5]}


def test_what_is_too_rare_is_not_read() -> None:
    rows = [one for one in labelled() if one.label.id == "yes"]
    assert read_explanations(rows, Consistency(), embed=None, seed=0) == {}
    rare = [*rows, *(one for one in labelled(8) if one.label.id == "no")]
    assert read_explanations(rare, Consistency(min_rows=10), embed=None, seed=0) == {}


def test_the_reports_hold_no_text_but_the_page_with_examples(tmp_path: Path) -> None:
    checked = check(ROWS, RECIPE)
    write_verdicts(checked, ROWS, tmp_path)
    page = write_page(checked, tmp_path)
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    html, markdown = page.read_text(), to_markdown(document(checked.results))
    assert "king of Spain" in html
    assert "Keep this page where the data" in html
    for text in (
        markdown,
        checked.results.model_dump_json(),
        (tmp_path / VERDICTS_FILE).read_text(),
    ):
        assert "king of Spain" not in text
        assert "exams" not in text
    lines = [json.loads(line) for line in (tmp_path / VERDICTS_FILE).read_text().splitlines()]
    assert {line["id"]: line["verdict"] for line in lines} == {
        name: verdict for name, (verdict, _) in checked.verdicts.items()
    }
    with (tmp_path / DISAGREEMENTS_FILE).open(newline="") as file:
        [found] = csv.DictReader(file)
    assert (found["label"], found["annotators"], found["right label"]) == ("yes", "no", "")


def test_released_files_are_checked_as_they_are_and_prepared_ones_too(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "data")
    rows = load_rows(folder, ("dreaddit",), (Split.TRAIN, Split.VAL))
    assert len(rows.examples) == 15
    assert len(rows.damaged) == 2  # mojibake in one row, an entity in another
    assert check(rows, RECIPE).verdicts["train_data/instruction_data/dreaddit/train.csv:12:stress"][
        1
    ][0] == ("broken")
    prepare(folder, tmp_path / "prepared", Options(write_explanations=True))
    prepared = load_rows(tmp_path / "prepared", ("CAMS",), (Split.TRAIN,))
    assert {one.origin for one in prepared.examples} == {Origin.ANNOTATION}
    assert not prepared.damaged
    with pytest.raises(DataError, match="no row of the sets"):
        load_rows(tmp_path / "prepared", ("SAD",), (Split.TRAIN,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("actions: {quote: off}", "there is no rule quote; there are: text-damaged"),
        ("actions: {quotes: maybe}", "actions.quotes"),
        ("thresholds: {min_word: 3}", "thresholds.min_word"),
        ("consistency: {folds: 1}", "consistency.folds"),
        ("- a\n- b", "must be a mapping"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(RecipeError, match=said):
        load_check_recipe(tmp_path / "mine.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_check_recipe(tmp_path / "none.yaml")


def test_the_recipe_that_ships_names_every_rule() -> None:
    assert set(RECIPE.actions) == set(RULES)


def test_experts_are_read_and_compared_on_the_same_post_and_label(tmp_path: Path) -> None:
    path = tmp_path / "experts.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("post", "question", "label", "explanation"))
        writer.writerow((ROWS.examples[-1].post.upper(), "stress", "yes", "They do not sleep."))
        writer.writerow((ROWS.examples[-1].post, "stress", "no", "They are well."))
    experts = read_experts(path)
    found = likeness(ROWS.examples, experts, encoder=None, scorer=None)
    assert found == {ROWS.examples[-1].id: Likeness(None, None)}


@pytest.mark.parametrize(
    ("row_text", "said"),
    [
        ("p,sleep,yes,e", "Row 2 .* no question"),
        ("p,stress,maybe,e", "Row 2 .* no label of stress"),
    ],
)
def test_a_wrong_row_of_experts_is_named(tmp_path: Path, row_text: str, said: str) -> None:
    (tmp_path / "e.csv").write_text(f"post,question,label,explanation\n{row_text}\n")
    with pytest.raises(DataError, match=said):
        read_experts(tmp_path / "e.csv")
    (tmp_path / "f.csv").write_text("post,label\n")
    with pytest.raises(DataError, match="no column question, explanation"):
        read_experts(tmp_path / "f.csv")
