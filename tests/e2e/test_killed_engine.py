"""The engine of the real server is killed under load, while everything is logged that can be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.chaos.client import WORD, Answer, analysis, ask, message, probe
from tests.servers import RunningServer

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.ends_server]

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


def engine_of(server: RunningServer) -> psutil.Process:
    children = psutil.Process(server.process.pid).children(recursive=True)
    (engine,) = [one for one in children if "EngineCore" in " ".join(one.cmdline())]
    return engine


@pytest.fixture(scope="module")
def killed(embedded_server: RunningServer) -> tuple[float, list[Answer], int, float]:
    """When the engine was killed, what its clients were told, how the process ended and when."""
    return asyncio.run(kill(embedded_server))


async def kill(server: RunningServer) -> tuple[float, list[Answer], int, float]:
    short = await ask(server.url, message(analysis(explain="never")))
    assert short.answered()
    broken = await ask(server.url, message(f'{{"text": "{WORD}", "{WORD}": "{WORD}"'.encode()))
    assert broken.status == 422
    asking = [asyncio.create_task(ask(server.url, sent)) for sent in OPEN * 2]
    await asyncio.sleep(1.0)  # all are begun, none is done
    assert not any(task.done() for task in asking)
    killed_at = time.monotonic()
    engine_of(server).send_signal(signal.SIGKILL)
    with contextlib.suppress(OSError, Exception):
        while (await asyncio.to_thread(probe, server.url, "/livez"))[0] == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    answers = await asyncio.gather(*asking)
    code = await asyncio.to_thread(server.process.wait, 20)
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


def test_no_line_holds_what_was_sent(killed, embedded_server: RunningServer, audit: Path) -> None:
    assert WORD not in embedded_server.log.read_text(errors="replace")
    assert WORD not in audit.read_text()


def test_the_audit_log_says_who_asked_how_much(killed, audit: Path) -> None:
    every = [json.loads(line) for line in audit.read_text().splitlines()]
    first, broken, *lines = every[-2 - len(OPEN) * 2 :]
    assert (first["caller"], first["route"], first["outcome"]) == ("anonymous", "/analyze", "ok")
    assert (first["texts"], first["questions"]) == (1, 2)
    assert first["prompt_tokens"] > 0
    assert first["characters"] == len(f"{WORD} 0")
    assert broken["outcome"] == "caller_error"
    assert {line["outcome"] for line in lines} <= {"server_error", "ok"}


def test_the_log_is_json(killed, embedded_server: RunningServer) -> None:
    """Ours and vLLM's; what libraries print on their own is not."""
    lines = embedded_server.log.read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    assert {"mentalllama", "mentalllama.access"} <= {one.get("logger") for one in found}
    assert any(str(one.get("name")).startswith("vllm.") for one in found)
    assert any(one.get("levelname") == "DEBUG" for one in found)
