"""The README's example is run as it stands, and its output is what the README shows."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.api.schemas import AnalyzeResponse
from tests.servers import RunningServer, asked_by_default

pytestmark = pytest.mark.engine

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "localhost:8000"


@pytest.fixture(scope="module")
def example() -> tuple[str, Any]:
    """The curl command and the JSON in the block after it."""
    blocks = BLOCK.findall(README.read_text(encoding="utf-8"))
    found = [number for number, (_, code) in enumerate(blocks) if code.startswith("curl")]
    assert found, "the README has no block that begins with curl"
    (language, command), (shown_language, shown) = blocks[found[0] : found[0] + 2]
    assert (language, shown_language) == ("bash", "json")
    return command, json.loads(shown)


@pytest.fixture(scope="module")
def response(example: tuple[str, Any], server: RunningServer) -> Any:
    """What the command prints, sent to the running server."""
    command, _ = example
    assert ADDRESS in command
    command = command.replace(ADDRESS, server.url.removeprefix("http://"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_command_answers_every_question(response: Any) -> None:
    (result,) = AnalyzeResponse.model_validate(response, strict=False).results
    assert [answer.question for answer in result.answers] == asked_by_default()


def test_the_output_shown_is_a_response(example: tuple[str, Any]) -> None:
    (result,) = AnalyzeResponse.model_validate(example[1], strict=False).results
    assert result.answers


def test_the_evidence_shown_stands_in_the_text(example: tuple[str, Any]) -> None:
    command, shown = example
    (body,) = re.findall(r"-d '(.*)'$", command, re.MULTILINE)
    text = json.loads(body)["text"]
    for answer in shown["results"][0]["answers"]:
        for evidence in answer["evidence"]:
            assert text[evidence["start"] : evidence["end"]] == evidence["quote"]


def test_the_output_shown_has_the_form_of_the_real_one(
    example: tuple[str, Any], response: Any
) -> None:
    _, shown = example
    real = copy.deepcopy(response)
    (shown_result,), (real_result,) = shown["results"], real["results"]
    by_question = {answer["question"]: answer for answer in real_result["answers"]}
    # Some of the answers may be shown, each beside the real one to the same question.
    real_result["answers"] = [by_question[answer["question"]] for answer in shown_result["answers"]]
    assert_alike(shown, real, "response")


def assert_alike(shown: Any, real: Any, place: str) -> None:
    """The same keys in the same order, and values of the same kind; null goes with anything."""
    if isinstance(shown, dict) and isinstance(real, dict):
        assert list(shown) == list(real), place
        for key in shown:
            assert_alike(shown[key], real[key], f"{place}.{key}")
    elif isinstance(shown, list) and isinstance(real, list):
        # Of evidence there may be more or less: it depends on the words.
        for number, (one, other) in enumerate(zip(shown, real, strict=False)):
            assert_alike(one, other, f"{place}.{number}")
    elif shown is not None and real is not None:
        assert kind(shown) == kind(real), place


def kind(value: Any) -> type:
    """The JSON type; 1 and 0.5 are both numbers."""
    return float if type(value) is int else type(value)
