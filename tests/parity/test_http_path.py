"""What our HTTP path costs beside a bare FastAPI route, on the same Analyzer with a fake engine.

Both apps run in this process and are asked in turns, through ASGI, so that the machine is the same
to both; what is compared is the processor time of this thread, which waiting for a busy machine
does not add to. The bound lies between what was measured on two busy cores and what it is with the
overhead doubled: 2.46 to 2.74 and 3.47 to 6.61 for one question, 1.65 to 1.79 and 2.33 to 2.92 for
all questions.

The idea is LitServe's, whose tests hold it against a bare FastAPI too.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Scope

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

pytestmark = pytest.mark.slow

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


def ratio(turn: int, ours: Way, bare: Way) -> float:
    """Ask both in turns; the median of the rounds' ratios of seconds of this thread."""
    seconds: dict[Way, list[float]] = {ours: [], bare: []}

    async def run() -> None:
        for way in seconds:
            for _ in range(2 * turn):  # what is made once is made before
                await way()
        for _ in range(ROUNDS):
            for way, found in seconds.items():
                begun = time.thread_time()
                for _ in range(turn):
                    await way()
                found.append(time.thread_time() - begun)

    gc.collect()
    gc.disable()  # what other tests left in memory is nothing of ours
    try:
        asyncio.run(run())
    finally:
        gc.enable()
    return median(mine / theirs for mine, theirs in zip(*seconds.values(), strict=True))


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    """A real one on an engine that takes no time."""
    manifest = assumed_manifest("mentallama", True)
    return Analyzer(InstantEngine(), word_tokenizer(), manifest, "instant")


@pytest.mark.parametrize("name", CASES)
def test_our_path_costs_little_more_than_a_bare_route(analyzer: Analyzer, name: str) -> None:
    case = CASES[name]
    ours, bare = (Client(app, case) for app in (make_ours(analyzer), make_bare(analyzer)))
    assert ratio(case.turn, ours, bare) < case.bound
