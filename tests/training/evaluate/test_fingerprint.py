"""Settings: what changes an answer changes them, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from service.models import ResolvedModel, local_manifest
from tests.training.evaluate.benchmarks import model_folder, stress_rows
from training.evaluate import fingerprint
from training.evaluate.fingerprint import examples_digest, files_digest, model_settings


def settings(folder: Path) -> dict[str, str]:
    return model_settings(ResolvedModel(str(folder), "tested", False), local_manifest(folder))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", "others"),
        ("config.json", '{"a": 1}'),
        ("tokenizer.json", "{}"),
        ("chat_template.jinja", "x"),
    ],
)
def test_a_changed_file_is_another_model(tmp_path: Path, name: str, content: str) -> None:
    folder = model_folder(tmp_path / "model")
    before = settings(folder)
    (folder / name).write_text(content)
    after = settings(folder)
    assert [key for key in before if before[key] != after[key]] == ["model_files"]


def test_what_is_said_about_a_model_is_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = files_digest(tmp_path)
    for name in (
        "calibration.json",
        "export.json",
        "results.json",
        "README.md",
        "mentalllama.json",
    ):
        (tmp_path / name).write_text('{"measured": 1}')
    assert files_digest(tmp_path) == before


@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        ({"notes": "New.", "licence": "MIT"}, []),
        ({"calibration": {"stress": {"temperature": 2.0}}}, ["calibration"]),
        ({"policy": {"min_probability": 0.6}}, ["policy"]),
        ({"prompt_style": "bare"}, []),
        ({"prompt_style": "chat"}, ["prompt_style"]),
    ],
)
def test_of_the_manifest_counts_what_changes_an_answer(
    tmp_path: Path, fields: dict[str, Any], changed: list[str]
) -> None:
    before = settings(model_folder(tmp_path / "a", prompt_style="bare"))
    after = settings(model_folder(tmp_path / "b", **{"prompt_style": "bare", **fields}))
    assert [key for key in before if before[key] != after[key]] == changed


def test_large_weights_count_by_size_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder(tmp_path / "model")
    small = files_digest(folder)
    os.utime(folder / "model.safetensors", (1, 1))
    assert files_digest(folder) == small
    monkeypatch.setattr(fingerprint, "_WHOLE", 3)
    large = files_digest(folder)
    os.utime(folder / "model.safetensors", (2, 2))
    assert files_digest(folder) != large


def test_the_order_of_rows_does_not_count_and_their_labels_do() -> None:
    rows = stress_rows()
    digest = examples_digest(rows)
    assert examples_digest(rows[::-1]) == digest
    assert examples_digest(rows[:-1]) != digest
    assert len(digest) == 64
