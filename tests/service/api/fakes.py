"""An Analyzer without a model, and an app with our routes on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import httpx
from fastapi import FastAPI

from imhi.tasks import Question
from service.analysis.manifest import Manifest, Training, assumed_manifest
from service.analysis.types import (
    Analysis,
    Answer,
    Completed,
    Cut,
    Decision,
    Distribution,
    Event,
    Evidence,
    Explain,
    Explanation,
    ExplanationDelta,
    Labelled,
    Options,
    Timings,
    Usage,
)
from service.api import attach
from service.api.state import ServiceState
from service.errors import EmptyTextError
from service.settings import Settings

TIMINGS = Timings(
    tokenize=0.002, queue=0.004, label_read=0.08, explanation=0.5, first_label=0.03, total=0.6
)
USAGE = Usage(prompt_tokens=100, cached_tokens=60, completion_tokens=9)


@dataclass
class FakeAnalyzer:
    """Decides the first label of every question with probability 0.75 and quotes the first word.

    Attributes:
        fails: text to what is raised before anything is said about it.
        breaks: text to what is raised after its first label.
        hangs: texts of which nothing comes after the first label.
        labels: question id to the label that is decided in place of the first.
        abstains: whether every decision is an abstention.
        cuts: what is said to be cut out of every text.
        trained: question id to the rows it was trained on; None where nothing is said of it.
        calls: what was asked for.
        opened: analyses begun.
        closed: analyses ended, however they ended.
        began: released once for every analysis begun.
    """

    fails: Mapping[str, Exception] = field(default_factory=dict)
    breaks: Mapping[str, Exception] = field(default_factory=dict)
    hangs: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    abstains: bool = False
    cuts: tuple[Cut, ...] = ()
    trained: Mapping[str, int] | None = None
    calls: list[tuple[str, tuple[Question, ...], Options, str]] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    began: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    model_name: str = "fake-model"
    adapters: tuple[str, ...] = ("fake-adapter",)

    @property
    def manifest(self) -> Manifest:
        assumed = assumed_manifest(self.model_name, has_chat_template=True)
        return assumed.model_copy(update={"training": Training(questions=self.trained)})

    async def analyze(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> Analysis:
        async with aclosing(self.stream(text, questions, options, request_id)) as events:
            async for event in events:
                if isinstance(event, Completed):
                    return event.analysis
        raise AssertionError

    async def stream(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> AsyncGenerator[Event, None]:
        self.calls.append((text, tuple(questions), options, request_id))
        self.opened += 1
        self.began.release()
        try:
            await asyncio.sleep(0)
            if text in self.fails:
                raise self.fails[text]
            if not text.strip():
                raise EmptyTextError("The text is empty.", param="text")
            labelled = [self._labelled(question) for question in questions]
            for answer in labelled:
                yield Labelled(answer)
                if text in self.breaks:
                    raise self.breaks[text]
                if text in self.hangs:
                    await asyncio.sleep(3600)
            answers = []
            for answer in labelled:
                if options.explain is Explain.NEVER:
                    answers.append(answer)
                    continue
                explained = self._explained(answer, text, options)
                assert explained.explanation is not None
                for word in explained.explanation.text.split(" "):
                    await asyncio.sleep(0)
                    yield ExplanationDelta(answer.question, f"{word} ")
                answers.append(explained)
            yield Completed(Analysis(tuple(answers), self.cuts, USAGE, TIMINGS))
        finally:
            self.closed += 1

    def _labelled(self, question: Question) -> Answer:
        ids = [label.id for label in question.labels]
        chosen = self.labels.get(question.id, ids[0])
        rest = 0.25 / (len(ids) - 1)
        probabilities = {label: 0.75 if label == chosen else rest for label in ids}
        decision = Decision(None if self.abstains else chosen, chosen, 0.75)
        return Answer(question, Distribution(probabilities, 0.9), decision)

    def _explained(self, answer: Answer, text: str, options: Options) -> Answer:
        quote = text.split()[0]
        start = text.index(quote)
        explanation = Explanation(
            text=f'The poster says "{quote}"',
            finish_reason="stop",
            tokens=5,
            evidence=(Evidence(quote, start, start + len(quote)),),
            consistency=0.8 if options.consistency else None,
        )
        return Answer(answer.question, answer.distribution, answer.decision, explanation)


async def healthy() -> None:
    """An engine that lives."""


def make_app(analyzer: FakeAnalyzer | None = None, **settings: object) -> FastAPI:
    """A bare app with our routes; without an analyzer it is one that has not started yet."""
    chosen = Settings.model_validate(settings)
    app = FastAPI()
    attach(app, chosen)
    if analyzer is not None:
        app.state.mentalllama = ServiceState(analyzer, chosen, healthy)
    return app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A client whose requests never leave the process."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=True), base_url="http://service"
    )


def events_of(stream: str) -> list[tuple[str, str]]:
    """Names and data of the server-sent events in a stream; comments are left out."""
    found = []
    for block in stream.split("\n\n"):
        if block and not block.startswith(":"):
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), data.removeprefix("data: ")))
    return found
