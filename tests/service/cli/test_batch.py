"""`mentalllama batch`: files checked before anything is loaded, results whole or not there."""

from __future__ import annotations

import json
import stat

import pytest

LINE = {"custom_id": "a", "method": "POST", "url": "/analyze", "body": {"text": "I lie awake."}}


@pytest.fixture
def requests(tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    return path


def test_a_running_service_answers(run, service, requests, tmp_path) -> None:
    output = tmp_path / "results.jsonl"
    result = run("batch", "-i", str(requests), "-o", str(output), "--url", service.url)
    assert result.exit_code == 0, result.stderr
    assert "1 answered, 0 with an error" in result.stderr
    assert service.last.body == LINE["body"]
    [line] = map(json.loads, output.read_text().splitlines())
    assert (line["custom_id"], line["error"]) == ("a", None)
    assert line["response"]["body"] == service.response
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert sorted(tmp_path.iterdir()) == [requests, output]


def test_a_wrong_line_is_counted_and_leaves_the_others_alone(
    run, service, requests, tmp_path
) -> None:
    output = tmp_path / "results.jsonl"
    requests.write_text(f"I lie awake\n{json.dumps(LINE)}\n")
    result = run("batch", "-i", str(requests), "-o", str(output), "--url", service.url)
    assert result.exit_code == 6, result.stderr
    assert "1 answered, 1 with an error" in result.stderr
    wrong, right = map(json.loads, output.read_text().splitlines())
    assert (wrong["custom_id"], wrong["error"]["code"]) == (None, "invalid_line")
    assert right["error"] is None
    assert "awake" not in json.dumps(wrong) + result.stderr


def test_nothing_is_replaced_unasked(run, service, requests, tmp_path) -> None:
    output = tmp_path / "results.jsonl"
    output.write_text("mine")
    arguments = ("batch", "-i", str(requests), "-o", str(output), "--url", service.url)
    result = run(*arguments)
    assert (result.exit_code, output.read_text()) == (2, "mine")
    assert "--force" in result.stderr
    assert run(*arguments, "--force").exit_code == 0
    assert "custom_id" in output.read_text()


def test_the_input_is_never_replaced(run, service, requests) -> None:
    arguments = ("-i", str(requests), "-o", str(requests), "--force", "--url", service.url)
    result = run("batch", *arguments)
    assert result.exit_code == 2
    assert json.loads(requests.read_text()) == LINE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-i", "{tmp}/absent", "-o", "{tmp}/out"), "No such file"),
        (("-i", "{tmp}", "-o", "{tmp}/out"), "not a regular file"),
        (("-i", "/dev/null", "-o", "{tmp}/out"), "not a regular file"),
        (("-i", "{tmp}/empty", "-o", "{tmp}/out"), "no line"),
        (("-i", "{tmp}/requests.jsonl", "-o", "{tmp}/no/out"), "no folder"),
        (("-i", "{tmp}/requests.jsonl", "-o", "{tmp}"), "is there"),
        (("-i", "{tmp}/requests.jsonl", "-o", "{tmp}/out", "--url", "nowhere"), "look like"),
        (("-i", "{tmp}/requests.jsonl", "-o", "{tmp}/out", "--url", "u", "--model", "m"), "--url"),
    ],
)
def test_wrong_usage_is_told_of_before_anything_is_loaded(
    run, requests, tmp_path, arguments, said: str
) -> None:
    (tmp_path / "empty").touch()
    result = run("batch", *(one.format(tmp=tmp_path) for one in arguments))
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


def test_no_service_is_exit_code_4_and_leaves_no_output(run, requests, tmp_path) -> None:
    output = tmp_path / "results.jsonl"
    result = run("batch", "-i", str(requests), "-o", str(output), "--url", "http://127.0.0.1:9")
    assert result.exit_code == 4
    assert "line 1" in result.stderr
    assert not output.exists()


def test_a_model_that_is_not_there_is_exit_code_5(run, requests, tmp_path) -> None:
    arguments = ("-i", str(requests), "-o", str(tmp_path / "out"), "--model", "no-such-model")
    result = run("batch", *arguments)
    assert result.exit_code == 5
    assert "no-such-model" in result.stderr
