"""A run's folder: which checkpoints are whole, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.errors import RecipeError
from training.sft import output
from training.sft.overrides import resolve
from training.sft.recipe import Recipe, dump


def checkpoint(folder: Path, step: int, *, whole: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"")
    if whole:
        (path / "trainer_state.json").write_text("{}")
    return path


def recipe(folder: Path, *overrides: str) -> Recipe:
    return resolve("embedded-135m", [f"output={folder}", *overrides]).recipe


def started(folder: Path, *overrides: str) -> Recipe:
    """A run that left a checkpoint."""
    made = recipe(folder, *overrides)
    checkpoint(folder, 10)
    (folder / output.RECIPE_FILE).write_text(dump(made))
    return made


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path) -> None:
    for step in (1000, 200, 90):
        checkpoint(tmp_path, step)
    names = [path.name for path in output.checkpoints(tmp_path)]
    assert names == ["checkpoint-90", "checkpoint-200", "checkpoint-1000"]


def test_a_torn_checkpoint_does_not_count(tmp_path) -> None:
    checkpoint(tmp_path, 10)
    checkpoint(tmp_path, 20, whole=False)
    (tmp_path / "checkpoint-best").mkdir()
    assert [path.name for path in output.checkpoints(tmp_path)] == ["checkpoint-10"]


def test_another_recipe_is_refused_and_its_fields_named(tmp_path) -> None:
    started(tmp_path)
    changed = recipe(tmp_path, "optimisation.epochs=9", "layout=padded")
    with pytest.raises(RecipeError) as raised:
        output.check(changed)
    said = raised.value.message
    assert "`layout`, `optimisation.epochs`" in said
    assert "--restart" in said
    assert "output=DIR" in said


def test_another_description_is_no_other_recipe(tmp_path) -> None:
    started(tmp_path)
    output.check(recipe(tmp_path, "description=words"))


def test_another_recipe_without_checkpoints_is_none_of_our_business(tmp_path) -> None:
    started(tmp_path)
    (tmp_path / "checkpoint-10" / "trainer_state.json").unlink()
    output.check(recipe(tmp_path, "optimisation.epochs=9"))


def test_an_output_that_is_a_file_is_refused(tmp_path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(RecipeError, match="is a file; name a folder"):
        output.check(recipe(path))


def test_clearing_leaves_what_is_not_a_checkpoint(tmp_path) -> None:
    started(tmp_path)
    (tmp_path / "checkpoint-notes").mkdir()
    (tmp_path / "training.json").write_text("{}")
    output.clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-notes", "training.json"]
