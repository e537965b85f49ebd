from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.responses import Response

from service.gate import Gate
from service.gate.record import Record
from service.metrics import REQUESTS
from service.settings import InvalidSettingsError, Settings
from tests.service.api.driver import Connection
from tests.service.api.fakes import FakeAnalyzer, client_of, make_app
from tests.service.gate.gates import KEY, call, key_entry, key_file

WORD = "zqcanary"
TEXT = f"{WORD} quiet days again."
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0b1902b7-01"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, logger="mentalllama.access")

    def found() -> list[dict[str, Any]]:
        return [r.facts for r in caplog.records if r.name == "mentalllama.access"]

    return found


@pytest.mark.parametrize("stream", [False, True])
async def test_one_line_says_how_much_was_asked_and_given(lines, tmp_path: Path, stream: bool):
    audit = tmp_path / "audit.jsonl"
    app = make_app(FakeAnalyzer(), audit_log=audit, keys=key_file(key_entry("clinic")))
    body = {"texts": [TEXT, "a"], "tasks": ["stress", "loneliness"], "stream": stream}
    headers = {"x-request-id": "mine", "traceparent": PARENT, "authorization": f"Bearer {KEY}"}
    async with client_of(app) as client:
        response = await client.post("/analyze?q=x", json=body, headers=headers)
    assert response.status_code == 200
    (line,) = lines()
    assert line["request_id"] == "mine"
    assert line["trace_id"] == TRACE
    assert line["caller"] == "clinic"
    assert (line["method"], line["route"]) == ("POST", "/analyze")
    assert (line["status"], line["outcome"]) == (200, "ok")
    assert line["bytes_in"] == len(response.request.content)
    assert line["bytes_out"] == len(response.content)
    assert 0 < line["first_byte_ms"] <= line["total_ms"]
    assert (line["texts"], line["characters"], line["questions"]) == (2, len(TEXT) + 1, 2)
    assert line["prompt_tokens"] > line["cached_tokens"] > 0
    assert line["completion_tokens"] > 0
    (audited,) = [json.loads(one) for one in audit.read_text().splitlines()]
    assert audited.pop("time").endswith("+00:00")
    assert audited == line


async def test_no_line_holds_what_was_sent(lines, tmp_path: Path, caplog):
    audit = tmp_path / "audit.jsonl"
    app = make_app(FakeAnalyzer(fails={TEXT: RuntimeError(WORD)}), audit_log=audit)
    async with client_of(app) as client:
        for body in ({"text": TEXT}, {"text": [WORD]}, {WORD: WORD}, WORD):
            await client.post("/analyze", json=body)
        await client.get(f"/{WORD}?{WORD}={WORD}", headers={"traceparent": WORD})
        await client.request(WORD.upper(), "/analyze", headers={"traceparent": f"{PARENT}{WORD}"})
    assert len(lines()) == 6
    shown = json.dumps(lines()) + audit.read_text() + caplog.text + generate_latest().decode()
    assert WORD not in shown.lower()


async def test_a_header_that_is_no_traceparent_reaches_nobody():
    seen = []

    async def app(scope, receive, send):
        seen.extend(name for name, _ in scope["headers"])
        await Response()(scope, receive, send)

    for given, kept in ((PARENT, True), (f"{PARENT} {WORD}", False), (WORD, False)):
        seen.clear()
        headers = [(b"traceparent", given.encode())]
        await call(Record(app), path="/tasks", method="GET", headers=headers)
        assert (b"traceparent" in seen) is kept


async def test_probes_that_succeed_are_not_logged(lines):
    app = make_app(FakeAnalyzer())
    async with client_of(app) as client:
        for path in ("/livez", "/readyz", "/health"):
            await client.get(path)
        assert lines() == []
        await client.get("/tasks")
    async with client_of(make_app()) as client:
        await client.get("/readyz")
    assert [line["route"] for line in lines()] == ["/tasks", "/readyz"]


async def test_a_client_that_leaves_is_a_cancellation(lines):
    analyzer = FakeAnalyzer(hangs=frozenset({TEXT}))
    connection = Connection(make_app(analyzer), {"text": TEXT})
    await analyzer.began.acquire()
    await asyncio.sleep(0.02)
    await connection.leave()
    (line,) = lines()
    assert line["outcome"] == "cancelled"
    assert line["texts"] == 1


async def test_failures_are_told_apart(lines):
    app = make_app(FakeAnalyzer(fails={TEXT: RuntimeError()}))
    async with client_of(app) as client:
        await client.post("/analyze", json={"text": TEXT})
        await client.post("/analyze", json={"text": ""})
    assert [line["outcome"] for line in lines()] == ["server_error", "caller_error"]


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500, 502, 503, 504])
async def test_outcomes_are_those_of_the_metrics(lines, status: int):
    async def app(scope, receive, send):
        await Response(status_code=status)(scope, receive, send)

    def counted() -> dict[str, float]:
        return {
            sample.labels["outcome"]: sample.value
            for sample in next(iter(REQUESTS.collect())).samples
            if sample.name.endswith("_total") and sample.labels["route"] == "/tasks"
        }

    before = counted()
    transport = httpx.ASGITransport(Gate(app, Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        await client.get("/tasks")
    (risen,) = [name for name, value in counted().items() if value != before.get(name, 0)]
    (line,) = lines()
    assert line["outcome"] == risen


async def test_a_rotated_audit_log_is_opened_anew(tmp_path: Path):
    audit = tmp_path / "audit.jsonl"
    async with client_of(make_app(FakeAnalyzer(), audit_log=audit)) as client:
        await client.post("/analyze", json={"text": "a"})
        audit.rename(tmp_path / "audit.jsonl.1")
        await client.post("/analyze", json={"text": "a"})
        await client.get("/tasks")  # looks are no work
    assert len(audit.read_text().splitlines()) == 1


def test_an_audit_log_that_cannot_be_written_stops_the_start(tmp_path: Path):
    with pytest.raises(InvalidSettingsError, match="MENTALLLAMA_AUDIT_LOG"):
        Gate(Starlette(), Settings(audit_log=tmp_path / "none" / "audit.jsonl"))
