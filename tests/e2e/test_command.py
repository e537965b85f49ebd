"""The `mentalllama` command as people run it: against the service, and with a model of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.api.schemas import AnalyzeResponse
from service.cli.exit_codes import ExitCode
from service.settings import NOTICE
from tests.e2e.posts import LONG, POST
from tests.e2e.scrape import eventually, idle, total
from tests.servers import asked_by_default, bare_environment

pytestmark = pytest.mark.engine

COMMAND = str(Path(sys.executable).with_name("mentalllama"))
WAITING = "Waiting for the service …\n"


def run(*arguments: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
    content = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [COMMAND, *arguments],
        input=content,
        capture_output=True,
        env=bare_environment(),
        timeout=300,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def test_json_from_the_service(server):
    done = run(
        *("analyze", "-", "--json", "--url", server.url),
        *("--tasks", "stress,loneliness", "--explanation-tokens", "8"),
        stdin=f"{POST}\n",
    )
    assert (done.returncode, done.stderr) == (ExitCode.OK, WAITING)
    response = AnalyzeResponse.model_validate_json(done.stdout)
    (result,) = response.results
    assert [answer.question for answer in result.answers] == ["stress", "loneliness"]
    assert all(answer.explanation for answer in result.answers)


def test_options_are_the_requests_fields(server):
    done = run(
        *("analyze", POST, "--json", "--url", server.url, "--questions", "wellness.social"),
        *("--explain", "never", "--truncation", "middle", "--scoring", "branches"),
        *("--threshold", "wellness.social.yes=0", "--min-label-mass", "1"),
        *("--abstention-band", "0,0", "--min-probability", "0", "--no-consistency"),
        *("--model", "mentalllama-embedded", "--timeout", "200"),
    )
    assert done.returncode == ExitCode.OK, done.stderr
    (result,) = AnalyzeResponse.model_validate_json(done.stdout).results
    (answer,) = result.answers
    assert (answer.question, answer.candidate) == ("wellness.social", "yes")
    assert answer.abstained


def test_a_table_from_the_service(server):
    done = run(
        *("analyze", "-", "--url", server.url, "--explanation-tokens", "8"), stdin=f"{POST}\n"
    )
    assert (done.returncode, done.stderr) == (ExitCode.OK, WAITING)
    for question in asked_by_default():
        assert question in done.stdout
    assert "mentalllama-embedded" in done.stdout
    assert " ".join(NOTICE.split()) in " ".join(done.stdout.split())
    assert "\x1b" not in done.stdout  # no colours in a pipe
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_in_process(analyze, embedded_model):
    done = run("analyze", "-", "--explain", "never", "--json", stdin=POST)
    assert done.returncode == ExitCode.OK, done.stderr
    (result,) = AnalyzeResponse.model_validate_json(done.stdout).results
    assert [answer.question for answer in result.answers] == asked_by_default()
    # What it is doing, in two lines; nothing of vLLM's and nothing when it stops.
    loading, reading = done.stderr.splitlines()
    assert re.fullmatch(r"Loading mentalllama-embedded.*…", loading)
    assert re.fullmatch(r"Reading.*…", reading)
    expected = analyze(explain="never")["results"][0]["answers"]
    for mine, theirs in zip(result.answers, expected, strict=True):
        assert mine.probabilities == pytest.approx(theirs["probabilities"], abs=0.02)


def test_a_file_by_the_service(server, analyze, tmp_path):
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
        assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=0.02)
    assert POST[:20] not in done.stderr
    assert POST[:20] not in result.with_name("answers.jsonl.summary.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["-"], b"", ExitCode.USAGE),
        (["-"], b" \n", ExitCode.USAGE),
        (["-"], b"\xff\xfe", ExitCode.USAGE),
        (["-", "--tasks", "sleep"], b"x", ExitCode.USAGE),
        (["-", "--questions", "sleep"], b"x", ExitCode.USAGE),
        (["-", "--explain", "maybe"], b"x", ExitCode.USAGE),
        (["-", "--explanation-tokens", "0"], b"x", ExitCode.USAGE),
        (["-", "--explanation-tokens", "many"], b"x", ExitCode.USAGE),
        (["-", "--min-probability", "2"], b"x", ExitCode.USAGE),
        (["-", "--abstention-band", "1"], b"x", ExitCode.USAGE),
        (["-", "--abstention-band", "0.6,0.4"], b"x", ExitCode.USAGE),
        (["-", "--threshold", "stress=1"], b"x", ExitCode.USAGE),
        (["-", "--threshold", "stress.maybe=1"], b"x", ExitCode.USAGE),
        (["-", "--model", "another"], b"x", ExitCode.USAGE),
        (["-", "--no-such-option"], b"x", ExitCode.USAGE),
        ([], b"", ExitCode.USAGE),
        (["-"], LONG.encode(), ExitCode.TEXT_TOO_LONG),
        (["-"], b"a" * (17 * 2**20), ExitCode.TEXT_TOO_LONG),
    ],
)
def test_bad_input_to_the_service(server, arguments, stdin, code):
    done = run("analyze", *arguments, "--url", server.url, stdin=stdin)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["-"], b" ", ExitCode.USAGE),
        (["-", "--tasks", "sleep"], b"x", ExitCode.USAGE),
        (["-", "--explanation-tokens", "0"], b"x", ExitCode.USAGE),
        (["-", "--threshold", "sleep.yes=0.5"], b"x", ExitCode.USAGE),
        (["-", "--model", "./no-such-directory"], b"x", ExitCode.MODEL),
    ],
)
def test_bad_input_in_process_loads_nothing(arguments, stdin, code):
    done = run("analyze", *arguments, stdin=stdin)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr
    assert "Loading" not in done.stderr
    assert "Traceback" not in done.stderr


def test_no_service(server):
    nowhere = run("analyze", POST, "--url", "http://127.0.0.1:9")
    assert nowhere.returncode == ExitCode.SERVICE
    elsewhere = run("analyze", POST, "--url", f"{server.url}/v1")
    assert elsewhere.returncode == ExitCode.SERVICE
    for done in (nowhere, elsewhere):
        assert POST[:20] not in done.stderr
        assert "Traceback" not in done.stderr


def test_an_interrupted_command_frees_the_engine(client, server):
    assert eventually(lambda: idle(client), 20)
    posts = total(client, "mentalllama_posts_total")
    process = subprocess.Popen(
        [COMMAND, "analyze", f"{POST} " * 20, "--url", server.url, "--explanation-tokens", "512"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=bare_environment(),
    )
    try:
        assert eventually(lambda: not idle(client), 20)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, said) == (ExitCode.INTERRUPTED, b"")
    assert complained.decode() == f"{WAITING}Interrupted.\n"
    assert eventually(lambda: idle(client), 20)
    assert total(client, "mentalllama_posts_total") == posts
