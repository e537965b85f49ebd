"""What our HTTP path costs beside a bare FastAPI route, on the same Analyzer with a fake engine.

Both apps run in this process and are asked in turns, through ASGI, so that the machine is the same
to both; what is compared is the processor time of this thread, which waiting for a busy machine
does not add to. The bound lies between what was measured and what it would be with the overhead
(what a request costs beyond the Analyzer's own work) doubled; the guard itself is tested by
doubling it. Measured on 2 cores that were busy with an engine, four times (recorded as `ratio`):
2.46 to 2.74 for one question, 3.47 to 6.61 when doubled; 1.65 to 1.79 for all questions, 2.33 to
2.92 when doubled. Before keys, limits, admission and the log's line it was 1.74 to 2.09 and 1.37 to
1.57.

The idea is LitServe's, whose tests hold it against a bare FastAPI too.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import median
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imhi.tasks import QUESTIONS
from service.analysis.analyzer import Analyzer
from service.analysis.manifest import assumed_manifest
from service.analysis.types import Explain, Options
from service.api import attach
from service.api.state import ServiceState
from service.settings import Settings
from tests.instant_engine import InstantEngine
from tests.service.api.fakes import healthy
from tests.tokenizers import word_tokenizer

TEXT = "I could not sleep, and my sister asked why. I said that it was the work."
ROUNDS = 40

Way = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """What is asked.

    Attributes:
        questions: ids.
        bound: most that our path may cost, in requests of the bare route.
        turn: requests of one way before it is the other's turn.
    """

    questions: Sequence[str]
    bound: float
    turn: int


CASES = {
    "one question": Case(["stress"], bound=3.1, turn=8),
    "all questions": Case(list(QUESTIONS), bound=2.05, turn=2),
}


class Client:
    """Posts one body to an app, over and over, without a socket."""

    def __init__(self, app: ASGIApp, case: Case) -> None:
        body = {"text": TEXT, "questions": case.questions, "explain": "never"}
        self._app = app
        self._body = json.dumps(body).encode()
        self._headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._body)).encode()),
        ]

    async def __call__(self) -> None:
        """Ask once."""
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/analyze",
            "raw_path": b"/analyze",
            "query_string": b"",
            "root_path": "",
            "headers": list(self._headers),
            "client": ("client", 1),
            "server": ("service", 80),
        }
        waiting: list[Message] = [{"type": "http.request", "body": self._body, "more_body": False}]
        statuses = []

        async def receive() -> Message:
            if waiting:
                return waiting.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await self._app(scope, receive, send)
        assert statuses == [200]


def make_bare(analyzer: Analyzer) -> FastAPI:
    """The least that answers the same questions over HTTP."""
    app, number = FastAPI(), count()

    @app.post("/analyze", response_model=None)
    async def analyze(request: Request) -> JSONResponse:
        body = await request.json()
        questions = [QUESTIONS[name] for name in body["questions"]]
        options = Options(explain=Explain(body["explain"]))
        analysis = await analyzer.analyze(body["text"], questions, options, f"bare-{next(number)}")
        answers = [
            {
                "question": answer.question.id,
                "label": answer.decision.label,
                "probabilities": dict(answer.distribution.probabilities),
                "label_mass": answer.distribution.label_mass,
            }
            for answer in analysis.answers
        ]
        return JSONResponse({"answers": answers})

    return app


def make_ours(analyzer: Analyzer) -> FastAPI:
    """Everything of ours: gate, route, forms, metrics."""
    app, settings = FastAPI(), Settings()
    attach(app, settings)
    app.state.mentalllama = ServiceState(analyzer, settings, healthy)
    return app


class Slower:
    """ASGI middleware that takes so many seconds of the processor more."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        until = time.thread_time() + self._seconds
        while time.thread_time() < until:
            pass
        await self._app(scope, receive, send)


@dataclass
class Measured:
    """Seconds of this thread a request, of each way and round."""

    ways: dict[str, list[float]] = field(default_factory=dict)

    def median(self, way: str) -> float:
        """Of all rounds."""
        return median(self.ways[way])

    def ratio(self, way: str, other: str) -> float:
        """The median of the rounds' ratios: a round's turns lie next to each other in time."""
        return median(a / b for a, b in zip(self.ways[way], self.ways[other], strict=True))


def measure(turn: int, **ways: Way) -> Measured:
    """Run the ways in turns of so many requests."""
    found = Measured({name: [] for name in ways})

    async def run() -> None:
        for way in ways.values():
            for _ in range(2 * turn):  # what is made once is made before
                await way()
        for _ in range(ROUNDS):
            for name, way in ways.items():
                begun = time.thread_time()
                for _ in range(turn):
                    await way()
                found.ways[name].append((time.thread_time() - begun) / turn)

    gc.collect()
    gc.disable()  # what other tests left in memory is nothing of ours
    try:
        asyncio.run(run())
    finally:
        gc.enable()
    return found


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    """A real one on an engine that takes no time."""
    manifest = assumed_manifest("mentallama", True)
    return Analyzer(InstantEngine(), word_tokenizer(), manifest, "instant")


def alone(analyzer: Analyzer, case: Case) -> Way:
    """The Analyzer's own work."""
    number = count()
    questions = [QUESTIONS[name] for name in case.questions]

    async def analyze() -> None:
        await analyzer.analyze(
            TEXT, questions, Options(explain=Explain.NEVER), f"alone-{next(number)}"
        )

    return analyze


@pytest.mark.parametrize("name", CASES)
def test_our_path_costs_little_more_than_a_bare_route(
    analyzer: Analyzer, name: str, record_property: Any
) -> None:
    case = CASES[name]
    found = measure(
        case.turn, ours=Client(make_ours(analyzer), case), bare=Client(make_bare(analyzer), case)
    )
    record_property("ratio", found.ratio("ours", "bare"))
    assert found.ratio("ours", "bare") < case.bound


@pytest.mark.parametrize("name", CASES)
def test_a_path_with_twice_the_overhead_is_found_out(
    analyzer: Analyzer, name: str, record_property: Any
) -> None:
    case = CASES[name]
    ours = make_ours(analyzer)
    before = measure(case.turn, ours=Client(ours, case), alone=alone(analyzer, case))
    overhead = before.median("ours") - before.median("alone")
    found = measure(
        case.turn, ours=Client(Slower(ours, overhead), case), bare=Client(make_bare(analyzer), case)
    )
    record_property("ratio", found.ratio("ours", "bare"))
    record_property("overhead", overhead)
    assert found.ratio("ours", "bare") > case.bound
