"""Other models on the real server: a Llama-2-like one with an adapter, and some that cannot be."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.models import lora_adapter, tiny_llama
from tests.servers import serve, start
from tests.tokenizers import blind_tokenizer, sentencepiece_tokenizer

pytestmark = [pytest.mark.engine, pytest.mark.slow]

POST = "I could not sleep again, and nobody at home asked why."
OPTIONS = ["--dtype", "float32", "--max-model-len", "1024"]


def test_a_bare_prompt_model_and_its_adapter_are_served_by_name(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    tokenizer = sentencepiece_tokenizer(tmp_path / "tokenizer")
    model = tiny_llama(tmp_path / "mentallama-tiny", tokenizer)
    adapter = lora_adapter(tmp_path / "adapter", model)
    options = [str(model), *OPTIONS, "--enable-lora", "--lora-modules", f"adapted={adapter}"]
    with serve(options, tmp_path / "log") as server:
        listed = httpx.get(f"{server.url}/v1/models").json()["data"]
        assert {one["id"] for one in listed} == {"mentallama-tiny", "adapted"}
        answers = {}
        for name in ("mentallama-tiny", "adapted"):
            request = {"text": POST, "explain": "never", "model": name}
            response = httpx.post(f"{server.url}/analyze", json=request, timeout=120)
            assert response.status_code == 200, response.text
            (result,) = response.json()["results"]
            assert len(result["answers"]) == 15
            answers[name] = [answer["probabilities"] for answer in result["answers"]]
        assert answers["adapted"] != answers["mentallama-tiny"]
        request = {"text": POST, "model": "another"}
        refused = httpx.post(f"{server.url}/analyze", json=request)
        assert refused.status_code == 422
        assert refused.json()["error"]["code"] == "unknown_name"


def test_labels_that_cannot_be_told_apart_stop_the_start_with_a_message(tmp_path: Path) -> None:
    model = tiny_llama(tmp_path / "blind", blind_tokenizer())
    process = start([str(model), *OPTIONS], tmp_path / "log")
    assert process.wait(240) == 5
    log = (tmp_path / "log").read_text()
    keys, said = (line for line in log.splitlines() if line.startswith("mentalllama serve: "))
    assert "no keys are set" in keys
    assert "cannot be told apart" in said
    assert "Traceback" not in log


def test_a_directory_without_a_model_is_refused_at_once(tmp_path: Path) -> None:
    process = start([str(tmp_path)], tmp_path / "log")
    assert process.wait(60) == 5
    said = (tmp_path / "log").read_text()
    assert "config.json" in said
    assert "Traceback" not in said
