"""Runs against a service: keys, waiting as it asks for, and what ends a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from imhi.tasks import QUESTIONS
from service.cli.exit_codes import ExitCode
from tests.service.bulk.conftest import Run
from tests.service.bulk.engine import outcome
from tests.service.stub import Request, Stub

ASKED = (QUESTIONS["stress"],)


class Service(Stub):
    """Answers like the service; refuses as often as it is told to, but the first request."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals: list[tuple[int, str, dict[str, str]]] = []

    def answer(self, request: Request) -> tuple[int | None, object, Mapping[str, str]]:
        if self.refusals and self.requests:
            status, code, more = self.refusals.pop(0)
            error = {"code": code, "message": "No.", "type": "server_error", "param": None}
            return status, {"error": error}, more
        self.requests.append(request)
        found = outcome(request.body["text"], ASKED)
        if found["error"]:
            return 422, {"error": {**found["error"], "type": "x", "param": "text"}}, {}
        result = {"index": 0, **found}
        return 200, {"id": "a", "model": "served", "results": [result], "usage": {}}, {}


@pytest.fixture
def service(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    lines = ["text"] + [f"post {n}" for n in range(40)] + ['""']
    Path("posts.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("MENTALLLAMA_API_KEY", "secret")
    with Service().running() as one:
        yield one


GIVEN = ("posts.csv", "--output", "out.jsonl", "--tasks", "stress", "--layout", "wide")


def test_every_row_is_asked_once(run: Run, service: Service) -> None:
    done = run(*GIVEN, "--url", service.url, "--abstention-band", "0.4,0.6", "--concurrency", "4")
    assert done.exit_code == ExitCode.ROWS_FAILED, done.output
    assert [one.body["text"] for one in service.requests[1:]].count("post 7") == 1
    assert len(service.requests) == 1 + 41
    assert all(one.body["tasks"] == ["stress"] for one in service.requests)
    assert service.requests[5].body["abstention_band"] == [0.4, 0.6]
    headers = [one.headers for one in service.requests]
    assert {one["authorization"] for one in headers} == {"Bearer secret"}
    assert {one.get("x-mentalllama-priority") for one in headers[1:]} == {"bulk"}
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
    assert len(service.requests) == 42
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
    service.http.server_close()
    done = run(*GIVEN, "--url", service.url)
    assert done.exit_code == ExitCode.SERVICE
    assert "mentalllama serve" in done.stderr
