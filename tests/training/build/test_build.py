"""`data build` from start to end on a made-up source and a made-up teacher."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from tests.training.build.teachers import Act, Body, Served, endpoint
from tests.training.command import invoke
from tests.training.data.folders import post, write_csv
from training.build.recipe import load_build_recipe
from training.build.results import Outcome
from training.data.example import Split
from training.data.prepared import load_prepared
from training.errors import RecipeError

ROWS = 12
SOURCE = {"set": "dreaddit", "files": {"train": "d.csv"}}
YES = "Yes, the poster suffers from stress."
NO = "No, the poster does not suffer from stress."


def source(folder: Path, rows: int = ROWS) -> None:
    folder.mkdir(exist_ok=True)
    cells = [(post(number), str(number % 2)) for number in range(rows)]
    write_csv(folder / "raw" / "d.csv", ("text", "label"), cells)


def recipe(folder: Path, served: Served, **fields: Any) -> Path:
    teacher = {"base_url": served.url, "model": "m", "few_shot": 1, "backoff": 0.01}
    teacher |= fields.pop("teacher", {})
    values = {
        "name": "mine",
        "root": "raw",
        "sources": [SOURCE],
        "teacher": teacher,
        "output": "built",
        **fields,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def run(*arguments: object) -> Result:
    return invoke("data", "build", *arguments)


def asked_of(body: Body) -> tuple[int, str | None]:
    """Number of the post, and the answer that was given."""
    last = body["messages"][-1]["content"]
    number = int(last.split("Entry ", 1)[1].split(":", 1)[0])
    return number, YES if YES in last else NO if NO in last else None


def explain(number: int, body: Body) -> Act:
    """A teacher with every kind of fault, by the number of the post."""
    del number
    own, given = asked_of(body)
    words = f'The poster wrote about "thing{own}x1" at some length, which weighs on them clearly.'
    answer = given or (YES if own < 6 else NO)
    if given and own == 1:
        return Act(text="", refusal="I cannot.")
    if given and own == 2:
        return Act(text=f"{answer} Reasoning: It goes on and", finish_reason="length")
    if given and own == 3:
        return Act(text="It depends on the day, one would say.")
    if given and own == 4:
        return Act(text=f"{YES} Reasoning: {words}")
    if given and own == 5:
        words = 'The poster says "words that nobody wrote here" and so they are under strain.'
    return Act(text=f"{answer} Reasoning: {words}")


def test_every_outcome_is_told_and_no_row_is_lost_or_shown(tmp_path: Path) -> None:
    source(tmp_path)
    with endpoint(explain) as served:
        path = recipe(tmp_path, served, teacher={"label_free_share": 1.0})
        result = run(path, "--json")
        assert result.exit_code == 0, result.stderr
        assert len(served.bodies) == 2 * ROWS
        results = json.loads(result.stdout)
        again = run(path, "--json")
        assert len(served.bodies) == 2 * ROWS
    built = tmp_path / "built"
    [dreaddit] = results["sets"]
    assert dreaddit["outcomes"] == {
        "explained": 7,
        "rejected": 1,
        "other_label": 1,
        "unreadable": 1,
        "cut_off": 1,
        "refused": 1,
    }
    assert dreaddit["reasons"] == {"quotes": 1}
    # Without the label it says yes to the first six: right on 1, 3, 5 and 6, 8, 10.
    assert (dreaddit["asked_freely"], dreaddit["agreement"]["value"]) == (12, 0.5)
    rows = load_prepared(built / "data").examples[Split.TRAIN]
    assert [row.post for row in rows] == [post(number) for number in range(ROWS)]
    assert [row.label.id for row in rows] == ["no", "yes"] * 6
    bare = [number for number, row in enumerate(rows) if row.explanation is None]
    assert bare == [1, 2, 3, 4, 5]
    outcomes = [json.loads(line) for line in (built / "outcomes.jsonl").open()]
    assert [one["outcome"] for one in outcomes[:6]] == [
        Outcome.EXPLAINED,
        Outcome.REFUSED,
        Outcome.CUT_OFF,
        Outcome.UNREADABLE,
        Outcome.OTHER_LABEL,
        Outcome.REJECTED,
    ]
    assert json.loads(again.stdout)["sets"] == results["sets"]
    assert json.loads(again.stdout)["usage"] == {**results["usage"], "sent": 0, "cached": 24}
    # No post is in what is no data.
    open_files = (built / "build.json", built / "outcomes.jsonl", built / "checked" / "check.md")
    said = [result.stdout, result.stderr, *(file.read_text() for file in open_files)]
    assert not any(f"thing{number}x" in text for text in said for number in range(ROWS))
    assert "thing5x" in (built / "checked" / "check.html").read_text()
    assert (built / ".gitignore").read_text() == "*\n"


def test_poor_explanations_are_called_so(tmp_path: Path) -> None:
    source(tmp_path)
    with endpoint(lambda number, body: Act(text="I could not say.")) as served:
        result = run(recipe(tmp_path, served))
    assert result.exit_code == 0, result.stderr
    assert "The explanations are poor: only 0 of 12 passed" in " ".join(result.stdout.split())
    rows = load_prepared(tmp_path / "built" / "data").examples[Split.TRAIN]
    assert [row.explanation for row in rows] == [None] * ROWS
    assert "explanations are poor" in (tmp_path / "built" / "data" / "README.md").read_text()


def test_the_plan_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    source(tmp_path)
    with endpoint(explain) as served:
        teacher = {
            "requests_per_minute": 6,
            "max_tokens": 100,
            "price": {"prompt": 1000, "completion": 2000, "currency": "EUR"},
        }
        path = recipe(tmp_path, served, teacher=teacher)
        result = run(path, "--dry-run", "--json")
        said = run(path, "--dry-run").stdout
        assert served.bodies == []
    plan = json.loads(result.stdout)
    assert (plan["requests"], plan["answered"], plan["completion_tokens"]) == (12, 0, 1200)
    assert plan["seconds"] == 120
    assert plan["cost"] == pytest.approx(plan["prompt_tokens"] / 1000 + 2.4)
    assert "12 requests to m" in said
    assert "EUR" in said
    assert not (tmp_path / "built").exists()


def test_a_sample_is_drawn(tmp_path: Path) -> None:
    source(tmp_path)
    with endpoint(explain) as served:
        result = run(recipe(tmp_path, served, limit=4), "--json")
    assert json.loads(result.stdout)["sets"][0]["asked"] == 4
    assert len(served.bodies) == 4


def test_rows_are_cleaned_before_they_are_paid_for(tmp_path: Path) -> None:
    cells = [(post(0), "1"), (post(0).upper(), "1"), ("Hi", "0"), (post(1), "0"), ("", "0")]
    write_csv(tmp_path / "raw" / "d.csv", ("text", "label"), cells)
    with endpoint(explain) as served:
        result = run(recipe(tmp_path, served), "--json")
    results = json.loads(result.stdout)
    assert len(served.bodies) == 2
    assert results["files"][0]["skipped"] == {"no post": 1}
    assert results["removed"] == {"duplicates": 1, "short": 1}


@pytest.mark.slow
def test_killed_in_the_middle_nothing_is_lost_or_asked_twice(tmp_path: Path) -> None:
    rows = 20
    source(tmp_path, rows)

    def slow(number: int, body: Body) -> Act:
        own, given = asked_of(body)
        del number
        words = f'The poster wrote about "thing{own}x1" at some length, which weighs on them.'
        return Act(text=f"{given} Reasoning: {words}", seconds=0.1)

    with endpoint(slow) as served:
        path = recipe(tmp_path, served, teacher={"concurrency": 2})
        command = [sys.executable, "-m", "training.cli.main", "data", "build", str(path)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while len(served.bodies) < 8:
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.01)
        finally:
            process.kill()
            process.wait()
        assert not (tmp_path / "built" / "data").exists()
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
        results = json.loads(done.stdout)
        sent = len(served.bodies)
    # A kill loses what was open at that moment: two requests at most.
    assert rows <= sent <= rows + 2
    assert results["usage"]["cached"] >= 6
    assert results["sets"][0]["outcomes"]["explained"] == rows
    found = load_prepared(tmp_path / "built" / "data").examples[Split.TRAIN]
    assert [row.post for row in found] == [post(number) for number in range(rows)]
    assert all(f"thing{n}x1" in (row.explanation or "") for n, row in enumerate(found))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sources": []}, "sources"),
        ({"sources": [{"set": "mood", "files": {"train": "x"}}]}, "no set mood"),
        ({"sources": [{"set": "DR", "files": {"all": "x"}}]}, "sources.0.files"),
        (
            {"sources": [{"set": "DR", "files": {"train": "x"}, "labels": {"stress": {}}}]},
            "labels",
        ),
        ({"teacher": {"model": ""}}, "teacher.model"),
        ({"teacher": {"base_url": "nowhere"}}, "name a URL"),
        ({"teacher": {"base_url": "https://key@host/v1"}}, "api_key_env"),
        ({"colour": "blue"}, "colour"),
        ({"sources": [SOURCE, SOURCE]}, "dreaddit stands twice"),
        (
            {
                "sources": [
                    SOURCE | {"labels": {"stress": {"column": "label", "values": {"1": "very"}}}}
                ]
            },
            "stress has no label very",
        ),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    path = recipe(tmp_path, Served(url="http://127.0.0.1:1/v1"), **fields)
    with pytest.raises(RecipeError, match=said):
        load_build_recipe(path)
    result = run(path)
    assert result.exit_code == 4
    assert "Traceback" not in result.stderr


def test_the_documented_recipe_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "building.md").read_text()
    block = page.split("```yaml\n", 1)[1].split("```", 1)[0]
    (tmp_path / "my-imhi.yaml").write_text(block)
    found = load_build_recipe(tmp_path / "my-imhi.yaml")
    assert found.sources[0].files[Split.TRAIN] == tmp_path / "raw" / "Irf" / "train_data.csv"
    assert found.output == tmp_path / "built"
    assert found.teacher.requests_per_minute == 500
