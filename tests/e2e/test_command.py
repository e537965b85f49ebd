"""The `mentalllama` command as people run it: against the service, and with a model of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess

import pytest

from imhi.tasks import QUESTIONS
from service.api.schemas import AnalyzeResponse
from service.cli.exit_codes import ExitCode
from service.settings import NOTICE
from tests.e2e.deployment import KEY, MODEL
from tests.e2e.posts import LONG, POST
from tests.e2e.scrape import eventually, idle, total
from tests.servers import COMMAND, bare_environment

pytestmark = pytest.mark.engine

WAITING = "Waiting for the service …\n"


def environment() -> dict[str, str]:
    return bare_environment() | {"MENTALLLAMA_API_KEY": KEY}


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [COMMAND, *arguments],
        input=stdin.encode(),
        capture_output=True,
        env=environment(),
        timeout=300,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def test_json_and_options_that_are_the_requests_fields(server):
    done = run(
        *("analyze", "-", "--json", "--url", server.url, "--questions", "wellness.social,stress"),
        *("--explanation-tokens", "8", "--truncation", "middle", "--scoring", "branches"),
        *("--threshold", "wellness.social.yes=0", "--threshold", "stress.yes=1"),
        *("--threshold", "stress.no=1", "--model", MODEL, "--timeout", "200"),
        stdin=f"{POST}\n",
    )
    assert (done.returncode, done.stderr) == (ExitCode.OK, WAITING)
    (result,) = AnalyzeResponse.model_validate_json(done.stdout).results
    answers = {answer.question: answer for answer in result.answers}
    assert list(answers) == ["wellness.social", "stress"]
    assert answers["wellness.social"].label == "yes"
    assert answers["wellness.social"].explanation
    assert answers["stress"].abstained


def test_a_table(server):
    done = run("analyze", "-", "--url", server.url, "--explanation-tokens", "8", stdin=f"{POST}\n")
    assert (done.returncode, done.stderr) == (ExitCode.OK, WAITING)
    assert all(question in done.stdout for question in QUESTIONS)
    assert MODEL in done.stdout
    assert " ".join(NOTICE.split()) in " ".join(done.stdout.split())
    assert "\x1b" not in done.stdout  # no colours in a pipe
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_a_file_of_posts(server, analyze, tmp_path):
    texts = [POST, "", *(f"{number}. {POST}" for number in range(3))]
    rows = ({"id": f"p{place}", "text": text} for place, text in enumerate(texts))
    posts, result = tmp_path / "posts.jsonl", tmp_path / "answers.jsonl"
    posts.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = run(
        *("analyze", str(posts), "--output", str(result), "--url", server.url),
        *("--tasks", "stress,loneliness", "--explain", "never"),
    )
    assert done.returncode == ExitCode.ROWS_FAILED, done.stderr
    answers = [json.loads(line) for line in result.read_text().splitlines()]
    assert [one["id"] for one in answers] == ["p0", "p0", "p1", "p2", "p2", "p3", "p3", "p4", "p4"]
    assert [one["error"] for one in answers] == [None, None, "empty_text", *[None] * 6]
    expected = analyze(tasks=["stress", "loneliness"], explain="never")["results"][0]["answers"]
    for mine, theirs in zip(answers[:2], expected, strict=True):
        assert mine["question"] == theirs["question"]
        assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-3)
    assert POST[:20] not in done.stderr
    assert POST[:20] not in result.with_name("answers.jsonl.summary.html").read_text()


def test_what_the_service_refuses_has_an_exit_code(server):
    refused = {
        ("analyze", "-", "--model", "another", "--url", server.url): ExitCode.USAGE,
        ("analyze", "-", "--url", server.url): ExitCode.TEXT_TOO_LONG,
        ("analyze", "-", "--url", f"{server.url}/v1"): ExitCode.SERVICE,
    }
    for arguments, code in refused.items():
        done = run(*arguments, stdin=LONG if code is ExitCode.TEXT_TOO_LONG else POST)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert done.stderr
        assert "Traceback" not in done.stderr
        assert POST[:20] not in done.stderr


def test_an_interrupted_command_frees_the_engine(client, server):
    assert eventually(lambda: idle(client), 20)
    posts = total(client, "mentalllama_posts_total")
    process = subprocess.Popen(
        [COMMAND, "analyze", f"{POST} " * 14, "--url", server.url, "--scoring", "sentences"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    try:
        assert eventually(lambda: not idle(client), 20)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait(10)
    assert (process.returncode, said) == (ExitCode.INTERRUPTED, b"")
    assert complained.decode() == f"{WAITING}Interrupted.\n"
    assert eventually(lambda: idle(client), 20)
    assert total(client, "mentalllama_posts_total") == posts


@pytest.mark.xdist_group("embedded_server")
def test_the_embedded_model_answers_in_process(embedded_model):
    """Without a service: two lines say what it is doing, and nothing of vLLM's is printed."""
    post = "My boss moved the deadline up again and I have not slept since Sunday."
    done = run(
        *("analyze", "-", "--json", "--tasks", "stress,stress_cause"),
        *("--explanation-tokens", "12"),
        stdin=post,
    )
    assert done.returncode == ExitCode.OK, done.stderr
    loading, reading = done.stderr.splitlines()
    assert re.fullmatch(r"Loading mentalllama-embedded.*…", loading)
    assert re.fullmatch(r"Reading.*…", reading)
    response = AnalyzeResponse.model_validate_json(done.stdout)
    assert response.model == "mentalllama-embedded"
    stress, cause = response.results[0].answers
    assert (stress.label, cause.label) == ("yes", "work")
    assert stress.explanation
    assert stress.label_mass > 0.9


def test_bad_input_loads_nothing():
    for model, code in ((MODEL, ExitCode.USAGE), ("./no-such-directory", ExitCode.MODEL)):
        text = "" if code is ExitCode.USAGE else POST
        done = run("analyze", "-", "--model", model, stdin=text)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert "Loading" not in done.stderr
        assert "Traceback" not in done.stderr
