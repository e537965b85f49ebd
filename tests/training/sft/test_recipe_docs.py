"""docs/recipes.md is what the code says."""

from __future__ import annotations

from training.sft.recipe_docs import DEFAULT_PATH, main, render


def test_the_page_is_up_to_date() -> None:
    assert DEFAULT_PATH.read_text(encoding="utf-8") == render()


def test_check_tells_an_old_page_from_the_new(tmp_path, capsys) -> None:
    path = tmp_path / "docs" / "recipes.md"
    assert main(["--check", str(path)]) == 1
    assert main([str(path)]) == 0
    assert main(["--check", str(path)]) == 0
    path.write_text(path.read_text() + "more\n")
    assert main(["--check", str(path)]) == 1
    assert "training.sft.recipe_docs" in capsys.readouterr().err
