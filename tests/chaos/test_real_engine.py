"""The real server and its engine, ended under load: asked to, and by killing the engine.

Everything is logged that can be.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.chaos.client import WORD, Answer, analysis, ask, message, probe
from tests.servers import RunningServer, serve

pytestmark = pytest.mark.engine

MODEL = "mentalllama-embedded"


def completion(path: str, **fields: object) -> bytes:
    """A long request to one of vLLM's own routes."""
    body = {"model": MODEL, "max_tokens": 1500, "ignore_eos": True, **fields}
    return message(json.dumps(body).encode(), path=path)


LONG = {"explanation_tokens": 512, "texts": 4}
OPEN = [
    message(analysis(**LONG)),
    message(analysis(stream=True, **LONG)),
    completion("/v1/completions", prompt=WORD),
    completion("/v1/completions", prompt=WORD, stream=True),
    completion("/v1/chat/completions", messages=[{"role": "user", "content": WORD}]),
    completion("/v1/chat/completions", messages=[{"role": "user", "content": WORD}], stream=True),
]


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit") / "audit.jsonl"


@pytest.fixture(scope="module")
def doomed(embedded_model: Path, audit: Path, tmp_path_factory: pytest.TempPathFactory):
    """A server of its own, with every line that vLLM can write."""
    variables = {
        "VLLM_LOGGING_LEVEL": "DEBUG",
        "MENTALLLAMA_LOG_FORMAT": "json",
        "MENTALLLAMA_AUDIT_LOG": str(audit),
    }
    with serve([], tmp_path_factory.mktemp("doomed") / "log", variables) as server:
        yield server


def engine_of(server: RunningServer) -> psutil.Process:
    children = psutil.Process(server.process.pid).children(recursive=True)
    (engine,) = [one for one in children if "EngineCore" in " ".join(one.cmdline())]
    return engine


@pytest.fixture(scope="module")
def killed(doomed: RunningServer) -> tuple[float, list[Answer], int, float]:
    """When the engine was killed, what its clients were told, how the process ended and when."""
    return asyncio.run(kill(doomed))


async def kill(doomed: RunningServer) -> tuple[float, list[Answer], int, float]:
    short = await ask(doomed.url, message(analysis(explain="never")))
    assert short.answered()
    broken = await ask(doomed.url, message(f'{{"text": "{WORD}", "{WORD}": "{WORD}"'.encode()))
    assert broken.status == 422
    asking = [asyncio.create_task(ask(doomed.url, sent)) for sent in OPEN * 2]
    await asyncio.sleep(1.0)  # all are begun, none is done
    assert not any(task.done() for task in asking)
    killed_at = time.monotonic()
    engine_of(doomed).send_signal(signal.SIGKILL)
    with contextlib.suppress(OSError, Exception):
        while (await asyncio.to_thread(probe, doomed.url, "/livez"))[0] == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    answers = await asyncio.gather(*asking)
    code = await asyncio.to_thread(doomed.process.wait, 20)
    return killed_at, answers, code, time.monotonic()


def test_every_open_request_gets_an_error_within_five_seconds(killed) -> None:
    killed_at, answers, _, _ = killed
    assert len(answers) == len(OPEN) * 2
    for one in answers:
        assert one.ended - killed_at < 5
        assert one.status is not None
        assert not one.answered()
        assert one.status >= 500 or "error" in one.body
        assert one.whole


def test_the_process_ends_so_that_a_supervisor_starts_it_again(killed) -> None:
    killed_at, _, code, ended_at = killed
    assert code == 1
    assert ended_at - killed_at < 10


def test_no_line_holds_what_was_sent(killed, doomed: RunningServer, audit: Path) -> None:
    assert WORD not in doomed.log.read_text(errors="replace")
    assert WORD not in audit.read_text()


def test_the_audit_log_says_who_asked_how_much(killed, audit: Path) -> None:
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert len(lines) == len(OPEN) * 2 + 2
    first = lines[0]
    assert (first["caller"], first["route"], first["outcome"]) == ("anonymous", "/analyze", "ok")
    assert (first["texts"], first["questions"]) == (1, 2)
    assert first["prompt_tokens"] > 0
    assert first["characters"] == len(f"{WORD} 0")
    assert {line["outcome"] for line in lines[2:]} <= {"server_error", "ok"}


def test_the_log_is_json(killed, doomed: RunningServer) -> None:
    """Ours and vLLM's; what libraries print on their own is not."""
    lines = doomed.log.read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    assert {"mentalllama", "mentalllama.access"} <= {one.get("logger") for one in found}
    assert any(str(one.get("name")).startswith("vllm.") for one in found)
    assert any(one.get("levelname") == "DEBUG" for one in found)


def test_no_accepted_request_is_lost_when_every_process_gets_sigterm(
    embedded_model: Path, tmp_path: Path
) -> None:
    """As from systemd; a request that was accepted still needs the engine several times."""
    with serve([], tmp_path / "log", {"MENTALLLAMA_GRACE_SECONDS": "60"}) as server:
        answers, probes, code = asyncio.run(terminate(server))
    assert probes == [(503, "draining"), (200, "draining"), (503, "not_ready")]
    assert [one.answered() for one in answers[:2]] == [True, True]
    for one in answers[2:]:
        assert (one.status, one.whole) == (200, True)
        assert "error" not in one.body
    assert code == 0


async def terminate(server: RunningServer) -> tuple[list[Answer], list[tuple[int, str]], int]:
    """What was answered after SIGTERM, what probes and new work were, and the exit code."""
    kinds = [
        message(analysis(texts=4, explanation_tokens=48)),
        message(analysis(texts=4, explanation_tokens=48, stream=True)),
        completion("/v1/completions", prompt=WORD, max_tokens=150),
        completion("/v1/completions", prompt=WORD, max_tokens=150, stream=True),
    ]
    asking = [asyncio.create_task(ask(server.url, sent, seconds=60)) for sent in kinds]
    await asyncio.sleep(0.7)
    assert not any(task.done() for task in asking)
    os.killpg(server.process.pid, signal.SIGTERM)
    await asyncio.sleep(0.1)
    probes = [await asyncio.to_thread(probe, server.url, path) for path in ("/readyz", "/livez")]
    refused = await ask(server.url, kinds[0])
    answers = await asyncio.gather(*asking)
    code = await asyncio.to_thread(server.process.wait, 30)
    return answers, [*probes, (refused.status or 0, refused.code() or "")], code
