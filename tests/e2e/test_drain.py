"""SIGTERM under load: what was accepted is answered, what comes later is refused."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from imhi.tasks import TASKS
from tests.chaos.client import WORD, Answer, analysis, ask, message, probe
from tests.e2e.deployment import KEY, MODEL
from tests.servers import RunningServer

pytestmark = [pytest.mark.engine, pytest.mark.ends_server]


def completion(**fields: object) -> bytes:
    body = {"model": MODEL, "prompt": WORD, "max_tokens": 1000, "ignore_eos": True, **fields}
    return message(json.dumps(body).encode(), path="/v1/completions", key=KEY)


def test_no_accepted_request_is_lost_when_every_process_gets_sigterm(
    server: RunningServer,
) -> None:
    """As from systemd; a request that was accepted still needs the engine several times."""
    answers, probes, code = asyncio.run(terminate(server))
    assert probes == [(503, "draining"), (200, "draining"), (503, "not_ready")]
    assert [one.answered() for one in answers[:2]] == [True, True]
    for one in answers[2:]:
        assert (one.status, one.whole) == (200, True)
        assert "error" not in one.body
    assert code == 0
    assert WORD not in server.log.read_text(errors="replace")


async def terminate(server: RunningServer) -> tuple[list[Answer], list[tuple[int, str]], int]:
    """What was answered after SIGTERM, what probes and new work were, and the exit code."""
    much = {"texts": 30, "tasks": list(TASKS), "explanation_tokens": 24}
    kinds = [
        message(analysis(**much), key=KEY),
        message(analysis(**much, stream=True), key=KEY),
        completion(),
        completion(stream=True),
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
