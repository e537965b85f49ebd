"""`mentalllama-train data check` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.command import error_text, invoke
from tests.training.data.folders import small_folder
from tests.training.evaluate.tiny_models import save_encoder


def run(*arguments: str) -> tuple[int, str, str]:
    result = invoke("data", "check", *arguments)
    return result.exit_code, result.stdout, error_text(result)


def test_a_folder_is_checked(tmp_path: Path) -> None:
    folder, out = small_folder(tmp_path / "data"), tmp_path / "checked"
    code, shown, said = run(str(folder), "--sets", "dreaddit", "--output", str(out))
    assert code == 0, said
    assert "broken" in shown
    assert "which holds posts" in said
    assert {path.name for path in out.iterdir()} == {
        *("check.json", "check.md", "check.html", "verdicts.jsonl", "disagreements.csv"),
        ".gitignore",
    }
    code, shown, _ = run(str(folder), "--sets", "dreaddit", "--output", str(out), "--json")
    assert json.loads(shown)["reader"] == "TF-IDF and logistic regression"


def test_the_consistency_is_read_with_an_encoder(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "data")
    encoder = save_encoder(tmp_path / "encoder")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("consistency: {folds: 2, min_rows: 2}\n")
    options = ("--recipe", str(recipe), "--encoder", str(encoder), "--json")
    code, shown, said = run(str(folder), *options, "--output", str(tmp_path / "out"))
    assert code == 0, said
    results = json.loads(shown)
    assert results["reader"] == "encoder"
    assert {one["set"]: one["read"] for one in results["sets"]}["dreaddit"] > 0


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--sets", "DRR"), 2, "There is no set DRR"),
        (("--splits", "train,dev"), 2, "The splits are train, val, test, not dev"),
        (("--bertscore", "x"), 2, "add --experts"),
        (("--recipe", "none.yaml"), 4, "cannot be read"),
        (("--sets", "SAD"), 3, "holds no file of the sets"),
        (("--encoder", "no/where/at/all"), 5, "no/where/at/all"),
    ],
)
def test_a_wrong_call_says_what_to_do(
    tmp_path: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    folder = small_folder(tmp_path / "data")
    found, _, errors = run(str(folder), *options, "--output", str(tmp_path / "out"))
    assert found == code
    assert said in errors
