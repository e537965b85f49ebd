"""A command line under test: a fake model in place of the engine, and a service on a real port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from typer.testing import CliRunner, Result

from imhi.tasks import QUESTIONS, Question
from service.analysis.types import Analysis, Options
from service.cli import app
from tests.service.api.fakes import FakeAnalyzer
from tests.service.stub import Stub


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


@dataclass
class Loaded(FakeAnalyzer):
    """What `service.local.open_analyzer` gives, and how it was opened.

    Attributes:
        failure: raised by every analysis.
        models: what was opened.
        policies: with which policy.
        released: how often one was closed.
    """

    failure: BaseException | None = None
    models: list[object] = field(default_factory=list)
    policies: list[object] = field(default_factory=list)
    released: int = 0

    async def analyze(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> Analysis:
        if self.failure:
            raise self.failure
        return await super().analyze(text, questions, options, request_id)


@pytest.fixture
def analyzer(monkeypatch, tmp_path) -> Loaded:
    """What `service.local.open_analyzer` gives; models are found without being built."""
    import service.cli.in_process
    import service.local
    from service.models import ResolvedModel

    fake = Loaded()

    @asynccontextmanager
    async def open_analyzer(model: object, *, policy: object) -> AsyncIterator[Loaded]:
        fake.policies.append(policy)
        fake.models.append(model)
        try:
            yield fake
        finally:
            fake.released += 1

    def resolve_model(name: str, *, announce: object) -> ResolvedModel:
        return ResolvedModel(str(tmp_path), name, embedded=name == "embedded")

    monkeypatch.setattr(service.local, "open_analyzer", open_analyzer)
    monkeypatch.setattr(service.cli.in_process, "resolve_model", resolve_model)
    return fake


@pytest.fixture
def service():
    stub = Stub()
    stub.response = response("stress")
    with stub.running():
        yield stub


@pytest.fixture
def make_response() -> Callable[..., dict[str, object]]:
    """Makes the response that a service gives; see `response`."""
    return response


def response(
    *questions: str, text: str = "I lie awake again", **changes: object
) -> dict[str, object]:
    """The response on one text, with `changes` made to each answer."""
    from service.api.schemas import AnalyzeResponse

    asked = [QUESTIONS[name] for name in questions]
    analysis = asyncio.run(FakeAnalyzer().analyze(text, asked, Options(), "id"))
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
