"""What is written for annotators and read back: spreadsheets, Label Studio, the released files."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.training.annotate.made import items, key_of, ratings, records
from training.annotate import label_studio
from training.annotate.draw import draw, explained
from training.annotate.folder import PEOPLE, SHEET, TASKS, given_to, load, write_folder
from training.annotate.items import Item
from training.annotate.ratings import Rating, add_ratings, checked, load_ratings
from training.annotate.released import SYSTEMS, read_released
from training.annotate.rubric import RUBRICS
from training.annotate.spreadsheet import read_sheet, write_sheet
from training.errors import DataError, UsageError

RUBRIC = RUBRICS["imhi"]
CRITERIA = [criterion.id for criterion in RUBRIC.criteria]


def filled(path: Path, value: str, delimiter: str = ",") -> Path:
    """A sheet with one number in all its empty cells, as a spreadsheet program saves it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.update(dict.fromkeys(CRITERIA, value))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_sheet_comes_back_as_programs_save_it(tmp_path: Path, delimiter: str) -> None:
    made = list(items(samples=3).values())
    write_sheet(tmp_path / "ana.csv", made, RUBRIC)
    assert read_sheet(tmp_path / "ana.csv", "ana", RUBRIC) == ()
    assert stat.S_IMODE((tmp_path / "ana.csv").stat().st_mode) == 0o600
    found = read_sheet(filled(tmp_path / "ana.csv", "2", delimiter), "ana", RUBRIC)
    assert set(found) == {
        Rating(item.id, "ana", criterion, 2) for item in made for criterion in CRITERIA
    }


def test_no_cell_of_a_sheet_is_a_formula(tmp_path: Path) -> None:
    for text in ("=1+1", "+1", "-1", "@x", "\tx"):
        write_sheet(tmp_path / "a.csv", [Item("item-1", text, "q", "l", text)], RUBRIC)
        with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
            [row] = csv.DictReader(file)
        assert row["post"] == row["explanation"] == f"'{text}"


@pytest.mark.parametrize("value", ["4", "-1", "1.5", "good"])
def test_what_is_no_number_of_the_scale_is_refused_without_a_word_of_the_row(
    tmp_path: Path, value: str
) -> None:
    write_sheet(tmp_path / "ana.csv", [Item("item-1", "SECRET", "q", "l", "SECRET")], RUBRIC)
    with pytest.raises(DataError, match="row 2: consistency is no number") as caught:
        read_sheet(filled(tmp_path / "ana.csv", value), "ana", RUBRIC)
    assert "SECRET" not in caught.value.message
    assert read_sheet(filled(tmp_path / "ana.csv", "3.0"), "ana", RUBRIC)[0].value == 3


def test_a_sheet_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column item, consistency"):
        read_sheet(tmp_path / "x.csv", "ana", RUBRIC)
    (tmp_path / "y.csv").write_bytes("item;überall\n".encode("latin-1"))
    with pytest.raises(DataError, match="CSV in UTF-8"):
        read_sheet(tmp_path / "y.csv", "ana", RUBRIC)


def test_label_studios_configuration_asks_for_every_criterion() -> None:
    tree = ElementTree.fromstring(label_studio.configuration(RUBRIC))
    choices = {one.get("name"): one for one in tree.iter("Choices")}
    assert list(choices) == CRITERIA
    names = {one.get("name") for one in tree.iter("Text")}
    for one in choices.values():
        assert (one.get("required"), one.get("choice")) == ("true", "single")
        assert one.get("toName") in names
        assert [choice.get("value") for choice in one] == ["0", "1", "2", "3"]
    shown = {one.get("value") for one in tree.iter("Text")}
    made = next(iter(items().values()))
    [task] = json.loads(label_studio.tasks([made], "ana"))
    assert shown <= {f"${name}" for name in task["data"]}


def exported(made: list[Item], annotator: str, value: str) -> list[dict]:
    """Tasks as Label Studio's JSON export has them, once they were annotated."""
    tasks = json.loads(label_studio.tasks(made, annotator))
    for number, task in enumerate(tasks, 1):
        result = [
            {
                "id": f"r{number}",
                "type": "choices",
                "from_name": criterion,
                "to_name": "explanation",
                "origin": "manual",
                "value": {"choices": [value]},
            }
            for criterion in CRITERIA
        ]
        comment = {"from_name": "comment", "type": "textarea", "value": {"text": ["hm"]}}
        task.update(
            id=number,
            annotations=[
                {"id": 1, "was_cancelled": True, "result": []},
                {"id": 2, "was_cancelled": False, "result": [*result, comment]},
            ],
        )
    return tasks


def test_an_export_of_label_studio_is_read(tmp_path: Path) -> None:
    made = list(items(samples=2).values())
    path = tmp_path / "export.json"
    path.write_text(json.dumps(exported(made, "ben", "1")))
    assert set(label_studio.read_export(path, RUBRIC)) == {
        Rating(item.id, "ben", criterion, 1) for item in made for criterion in CRITERIA
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing", "cannot be read as JSON"),
        ("{}", "choose its JSON format"),
        ('[{"data": {"text": "x"}}]', "none of ours"),
        ('[{"data": {"item": "i", "annotator": "a"}}]', "not MIN"),
        (
            '[{"data": {"item": "i", "annotator": "a"}, "annotations": [{"result": '
            '[{"from_name": "overall", "value": {"choices": ["5"]}}]}]}]',
            "overall is no number from 0 to 3",
        ),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=said):
        label_studio.read_export(tmp_path / "x.json", RUBRIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    systems = {name: explained(records(name)) for name in ("ours", "theirs")}
    drawn = draw(systems, rows=6, annotators=("ana", "ben"), overlap=2, rubric="imhi", seed=3)
    write_folder(tmp_path / "rated", *drawn)
    return tmp_path / "rated"


def test_what_an_annotator_gets_tells_nothing_of_the_others(folder: Path) -> None:
    loaded, key = load(folder)
    assert len(loaded) == 12
    for name in key.annotators:
        own = folder / PEOPLE / name
        assert {path.name for path in own.iterdir()} == {
            SHEET,
            TASKS,
            "instructions.md",
            "label-studio.xml",
        }
        for path in own.iterdir():
            text = path.read_text(encoding="utf-8")
            assert not any(origin.sample in text for origin in key.origins.values())
        said = (own / "instructions.md").read_text()
        assert "findahelpline.com" in said
        assert all(f"## {criterion.title}" in said for criterion in RUBRIC.criteria)
    given = given_to(folder, key)
    assert {name: len(ids) for name, ids in given.items()} == {"ana": 12, "ben": 12}
    with pytest.raises(UsageError, match="one draw"):
        write_folder(folder, list(loaded.values()), key, {})


def test_ratings_add_up_and_what_is_missing_is_counted(folder: Path) -> None:
    _, key = load(folder)
    given = given_to(folder, key)
    ana = read_sheet(filled(folder / PEOPLE / "ana" / SHEET, "3"), "ana", RUBRIC)
    first = add_ratings(folder, checked(ana, key, "x"), given, "imhi")
    assert (first.added, first.changed, first.missing) == (48, 0, {"ben": 48})
    again = [*ana[1:], Rating(ana[0].item, "ana", ana[0].criterion, 0)]
    second = add_ratings(folder, again, given, "imhi")
    assert (second.added, second.changed) == (0, 1)
    assert len(load_ratings(folder)) == 48


@pytest.mark.parametrize(
    ("rating", "said"),
    [
        (Rating("item-a-99", "ana", "overall", 1), "no item of this export"),
        (Rating("item-a-1", "zoe", "overall", 1), "none of this export's annotators"),
        (Rating("item-a-1", "ana", "fluency", 1), "not in the rubric"),
        (Rating("item-a-1", "ana", "overall", 4), "the scale is 0 to 3"),
    ],
)
def test_ratings_of_something_else_are_refused(rating: Rating, said: str) -> None:
    made = items()
    right = ratings(made, {"ana": [1] * 20})
    with pytest.raises(DataError, match=said):
        checked([*right, rating], key_of(made), "sheet.csv")


def released(folder: Path, name: str, **changes: str) -> None:
    row = {
        "text": "made up", "label": "1", "gpt-3.5-turbo": "It says so.",
        "fluency": "[3, 3, 2]", "completeness": "[1, 2, 3]", "reliability": "[0, 0, 0]",
        "overall": "[1, 1, 1]",
    } | changes  # fmt: skip
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)


def test_the_released_annotation_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="DR_annotation"):
        read_released(tmp_path)
    released(tmp_path, "chatgpt_data.csv")
    made, key, found, missing = read_released(tmp_path)
    assert missing == tuple(SYSTEMS)[1:]
    assert [(item.label, item.explanation) for item in made] == [
        ("Yes, the poster suffers from depression.", "It says so.")
    ]
    assert key.origins[made[0].id].system == "ChatGPT, label right"
    numbers = {(one.criterion, one.annotator): one.value for one in found}
    assert numbers["fluency", "3"] == 2
    assert numbers["completeness", "2"] == 2
    assert len(found) == 12


@pytest.mark.parametrize("value", ["[3, 3]", "[3, 3, 4]", "three", "__import__('os')"])
def test_a_damaged_released_row_is_refused(tmp_path: Path, value: str) -> None:
    released(tmp_path, "gpt3_data.csv", overall=value)
    with pytest.raises(DataError, match=r"Row 1 of .*overall is no list"):
        read_released(tmp_path)
