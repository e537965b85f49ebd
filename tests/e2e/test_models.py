"""Models that the real server cannot serve: it says why, and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.exit_codes import ExitCode
from tests.models import tiny_llama
from tests.servers import exit_code
from tests.tokenizers import blind_tokenizer

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_labels_that_cannot_be_told_apart_stop_the_start_with_a_message(tmp_path: Path) -> None:
    model = tiny_llama(tmp_path / "blind", blind_tokenizer())
    assert exit_code([str(model), "--dtype", "float32"], tmp_path / "log") == ExitCode.MODEL
    log = (tmp_path / "log").read_text()
    _, said = (line for line in log.splitlines() if line.startswith("mentalllama serve: "))
    assert "cannot be told apart" in said
    assert "Traceback" not in log


def test_a_directory_without_a_model_is_refused_at_once(tmp_path: Path) -> None:
    assert exit_code([str(tmp_path)], tmp_path / "log") == ExitCode.MODEL
    said = (tmp_path / "log").read_text()
    assert "config.json" in said
    assert "Traceback" not in said
