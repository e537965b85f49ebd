"""Runs against a service: keys, waiting as it asks for, and what ends a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from imhi.tasks import QUESTIONS
from service.cli.exit_codes import ExitCode
from tests.service.bulk.conftest import Run
from tests.service.bulk.engine import outcome

ASKED = (QUESTIONS["stress"],)


class Service:
    """Answers like the service; refuses as often as it is told to."""

    def __init__(self) -> None:
        self.refusals: list[tuple[int, str, dict[str, str]]] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, said, headers = service.answer(body, dict(self.headers))
                content = json.dumps(said).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 64  # all of a run's connections at once

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # a caller that goes has nothing to be told
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(
        self, body: dict[str, Any], headers: dict[str, str]
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        self.headers.append({name.lower(): value for name, value in headers.items()})
        if self.refusals and len(self.asked) >= 1:  # the first asks what is asked
            status, code, more = self.refusals.pop(0)
            error = {"code": code, "message": "No.", "type": "server_error", "param": None}
            return status, {"error": error}, more
        self.asked.append(body)
        found = outcome(body["text"], ASKED)
        if found["error"]:
            return 422, {"error": {**found["error"], "type": "x", "param": "text"}}, {}
        result = {"index": 0, **found}
        return 200, {"id": "a", "model": "served", "results": [result], "usage": {}}, {}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    lines = ["text"] + [f"post {n}" for n in range(40)] + ['""']
    Path("posts.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("MENTALLLAMA_API_KEY", "secret")
    one = Service()
    yield one
    one.close()


GIVEN = ("posts.csv", "--output", "out.jsonl", "--tasks", "stress", "--layout", "wide")


def test_every_row_is_asked_once(run: Run, service: Service) -> None:
    done = run(*GIVEN, "--url", service.url, "--abstention-band", "0.4,0.6", "--concurrency", "4")
    assert done.exit_code == ExitCode.ROWS_FAILED, done.output
    assert [body["text"] for body in service.asked[1:]].count("post 7") == 1
    assert len(service.asked) == 1 + 41
    assert all(body["tasks"] == ["stress"] for body in service.asked)
    assert service.asked[5]["abstention_band"] == [0.4, 0.6]
    assert {one["authorization"] for one in service.headers} == {"Bearer secret"}
    assert {one.get("x-mentalllama-priority") for one in service.headers[1:]} == {"bulk"}
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rows] == list(range(41))
    assert rows[40]["error"] == "empty_text"
    assert rows[0]["stress.p.yes"] == outcome("post 0", ASKED)["answers"][0]["probabilities"]["yes"]


def test_it_comes_back_when_it_is_told_to(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.bulk import answering

    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(answering.asyncio, "sleep", sleep)
    service.refusals = [
        (429, "rate_limited", {"retry-after": "3"}),
        (503, "overloaded", {"retry-after": "7"}),
        (503, "not_ready", {"retry-after": "1"}),
    ]
    done = run(*GIVEN, "--url", service.url)
    assert done.exit_code == ExitCode.ROWS_FAILED, done.output
    assert len(service.asked) == 42
    waits = sorted(one for one in slept if one > 0)
    assert len(waits) == 3
    for told, waited in zip((1, 3, 7), waits, strict=True):
        assert told <= waited <= 1.25 * told


@pytest.mark.parametrize("status", [401, 403, 500])
def test_what_will_not_change_ends_the_run(run: Run, service: Service, status: int) -> None:
    service.refusals = [(status, "refused", {})] * 100
    done = run(*GIVEN, "--url", service.url)
    assert done.exit_code not in (0, ExitCode.ROWS_FAILED)
    assert "Traceback" not in done.output
    service.refusals = []
    assert run(*GIVEN, "--url", service.url).exit_code == ExitCode.ROWS_FAILED


def test_nobody_there(run: Run, service: Service) -> None:
    service.close()
    done = run(*GIVEN, "--url", service.url)
    assert done.exit_code == ExitCode.SERVICE
    assert "mentalllama serve" in done.stderr
