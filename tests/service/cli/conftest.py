"""A command line under test: a fake model in place of the engine, and a service on a real port."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner, Result

from imhi.tasks import QUESTIONS, Question
from service.analysis.evidence import find_evidence
from service.analysis.manifest import assumed_manifest
from service.analysis.types import (
    Analysis,
    Answer,
    Cut,
    Decision,
    Distribution,
    Explain,
    Explanation,
    Options,
    Timings,
    Usage,
)
from service.cli import app
from service.errors import EmptyTextError


@pytest.fixture
def run(monkeypatch) -> Callable[..., Result]:
    """Runs the command line in this process, as in a pipe of 100 columns."""
    monkeypatch.delenv("COLUMNS", raising=False)
    runner = CliRunner()

    def invoke(*arguments: str, stdin: str | bytes | None = None) -> Result:
        result = runner.invoke(app, list(arguments), input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def answer(question: Question, text: str, options: Options) -> Answer:
    """Says the first label by 0.75, and quotes the text's first three words."""
    first, *others = [label.id for label in question.labels]
    probabilities = {first: 0.75} | {label: 0.25 / len(others) for label in others}
    quote = " ".join(text.split()[:3])
    said = f'The poster writes "{quote}", which says enough.'
    explanation = Explanation(said, "stop", 12, find_evidence(said, text), 0.9)
    policy = options.policy
    abstains = bool(policy and policy.min_probability and policy.min_probability > 0.75)
    return Answer(
        question=question,
        distribution=Distribution(probabilities, label_mass=0.98),
        decision=Decision(None if abstains else first, first, 0.75),
        explanation=None if options.explain is Explain.NEVER else explanation,
    )


class FakeAnalyzer:
    """Keeps what it was asked; raises what the test puts into `failure`."""

    model_name = "fake-model"
    manifest = assumed_manifest(model_name, has_chat_template=True)
    adapters: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.opened: list[object] = []
        self.policies: list[object] = []
        self.closed = 0
        self.text = ""
        self.questions: tuple[Question, ...] = ()
        self.options = Options()
        self.cuts: tuple[Cut, ...] = ()

    async def analyze(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> Analysis:
        self.text, self.questions, self.options = text, tuple(questions), options
        if self.failure:
            raise self.failure
        if not text.strip():
            raise EmptyTextError("The text is empty.")
        answers = tuple(answer(question, text, options) for question in questions)
        return Analysis(answers, self.cuts, Usage(100, 60, 12), Timings())


@pytest.fixture
def analyzer(monkeypatch, tmp_path) -> FakeAnalyzer:
    """What `service.local.open_analyzer` gives; models are found without being built."""
    import service.cli.in_process
    import service.local
    from service.models import ResolvedModel

    fake = FakeAnalyzer()

    @asynccontextmanager
    async def open_analyzer(model: object, *, policy: object) -> AsyncIterator[FakeAnalyzer]:
        fake.policies.append(policy)
        fake.opened.append(model)
        try:
            yield fake
        finally:
            fake.closed += 1

    def resolve_model(name: str, *, announce: object) -> ResolvedModel:
        return ResolvedModel(str(tmp_path), name, embedded=name == "embedded")

    monkeypatch.setattr(service.local, "open_analyzer", open_analyzer)
    monkeypatch.setattr(service.cli.in_process, "resolve_model", resolve_model)
    return fake


class StubService:
    """Answers every POST with `response` and `status` once `open`; keeps the request's body."""

    def __init__(self) -> None:
        self.status = 200
        self.response: dict[str, object] = {}
        self.request: dict[str, object] = {}
        self.asked = threading.Event()
        self.open = threading.Event()
        self.open.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.set()
                outer.open.wait()
                content = json.dumps(outer.response).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def service():
    stub = StubService()
    stub.response = response("stress")
    thread = threading.Thread(target=stub.http.serve_forever, args=(0.01,))
    thread.start()
    yield stub
    stub.open.set()
    stub.http.shutdown()
    stub.http.server_close()
    thread.join()


@pytest.fixture
def make_response() -> Callable[..., dict[str, object]]:
    """Makes the response that a service gives; see `response`."""
    return response


def response(
    *questions: str, text: str = "I lie awake again", **changes: object
) -> dict[str, object]:
    """The response on one text, with `changes` made to each answer."""
    from service.api.schemas import AnalyzeResponse

    answers = tuple(answer(QUESTIONS[name], text, Options()) for name in questions)
    analysis = Analysis(answers, (), Usage(), Timings())
    made = AnalyzeResponse.of(
        [analysis],
        analysis_id="analysis-1",
        model="served-model",
        notice="This is no diagnosis.",
        urgent_resources="Call someone.",
    ).model_dump(mode="json")
    for one in made["results"][0]["answers"]:
        one.update(changes)
    return made
