"""What the teacher is told: the templates that ship, a user's own, and the chat made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from imhi.tasks import QUESTIONS
from service.analysis.evidence import find_quotes
from tests.training.data.folders import STRESS, example
from training.build.prompts import request
from training.build.recipe import TeacherRecipe
from training.build.templates import load_templates
from training.data.cleaning import RULES
from training.data.example import Span
from training.errors import RecipeError

ROW = example("I counted the coins twice and it is not enough.", STRESS, "yes", row=3)
SETTINGS = TeacherRecipe(base_url="http://127.0.0.1/v1", model="m", few_shot=2)


def own(folder: Path, name: str = "mine.yaml", **fields: object) -> Path:
    values = {"questions": ["stress"], "instruction": "Look for strain.", **fields}
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(yaml.safe_dump(values))
    return folder


def test_what_ships_has_sound_examples_of_every_label() -> None:
    found = load_templates()
    assert found.keys() == QUESTIONS.keys()
    for name, question in QUESTIONS.items():
        assert len(found[name].instruction.split()) > 60
        for label in question.labels:
            examples = found[name].examples[label.id]
            assert len(examples) >= 3
            for given in examples:
                quotes = find_quotes(given.explanation, given.post)
                assert quotes
                assert all(quote.evidence for quote in quotes)
                row = example(given.post, question, label.id, explanation=given.explanation)
                assert not any(rule.find([row]) for rule in RULES.values())


def test_the_chat_with_the_label() -> None:
    template = load_templates()["stress"]
    body = request(ROW, template, SETTINGS, 0, with_label=True)
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", *("user", "assistant") * 4, "user"]
    system, *_, last = (message["content"] for message in body["messages"])
    assert template.instruction in system
    assert all(label.answer in system for label in STRESS.labels)
    assert ROW.post in last
    assert ROW.label.answer in last
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0.0, 400)


def test_the_chat_without_the_label_never_tells_it() -> None:
    body = request(ROW, load_templates()["stress"], SETTINGS, 0, with_label=False)
    users = [one["content"] for one in body["messages"] if one["role"] == "user"]
    assert not any(label.answer in text for text in users for label in STRESS.labels)


def test_what_annotators_marked_is_told_with_the_label_alone() -> None:
    from dataclasses import replace

    row = replace(ROW, evidence=(Span(2, 19),))
    template = load_templates()["stress"]
    bodies = [request(row, template, SETTINGS, 0, with_label=given) for given in (True, False)]
    told = ['"counted the coins"' in body["messages"][-1]["content"] for body in bodies]
    assert told == [True, False]


def test_examples_are_drawn_anew_for_each_row_and_the_same_for_one() -> None:
    template = load_templates()["stress"]
    drawn = [template.drawn(STRESS, 2, 0, str(number)) for number in range(20)]
    assert len({tuple(one.post for one in some) for some in drawn}) > 5
    assert drawn == [template.drawn(STRESS, 2, 0, str(number)) for number in range(20)]
    assert drawn[0] != template.drawn(STRESS, 2, 1, "0")
    for some in drawn:
        assert sorted(one.label for one in some) == ["no", "no", "yes", "yes"]


def test_a_users_templates_go_before_those_that_ship(tmp_path: Path) -> None:
    found = load_templates(own(tmp_path / "own"))
    assert found["stress"].instruction == "Look for strain."
    assert found["loneliness"] == load_templates()["loneliness"]
    with pytest.raises(RecipeError, match="0 examples of stress with the label yes"):
        found["stress"].drawn(STRESS, 1, 0, "row")


GIVEN = {"question": "stress", "label": "yes", "post": "p", "explanation": "e"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"questions": ["mood"]}, "no question mood"),
        ({"instruction": " "}, "instruction"),
        ({"tone": "warm"}, "tone"),
        ({"examples": [{**GIVEN, "label": "maybe"}]}, "no label maybe"),
        ({"examples": [{**GIVEN, "question": "loneliness"}]}, "the file does not"),
        ({"examples": [{"question": "stress"}]}, "examples.0.label"),
    ],
)
def test_a_wrong_template_is_refused(tmp_path: Path, fields: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_templates(own(tmp_path / "own", **fields))


def test_two_files_on_one_question_are_refused(tmp_path: Path) -> None:
    own(tmp_path / "own")
    with pytest.raises(RecipeError, match="both tell of stress"):
        load_templates(own(tmp_path / "own", "other.yaml"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="There is no folder"):
        load_templates(tmp_path / "none")
