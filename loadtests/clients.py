"""Ways of asking a server about a post, each seen as its user sees it.

`Analyze` asks ours; `Chat` and `Reads` ask a plain vLLM server as somebody without this project
would. All go through one HTTP client, and each counts what it gets and keeps none of it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from imhi.parsing import parse_response
from imhi.tasks import QUESTIONS, Question
from imhi.wording import render_query
from loadtests.drive import Answered

EXPLANATION_TOKENS = 256
"""Most tokens of an explanation, of a chat completion likewise."""

TOP = 20
"""How many log-probabilities vLLM gives for a token at most, as it is set by default."""

_SECONDS = 600.0


class FailedAnswerError(Exception):
    """A response of another status than 200."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request.

    Attributes:
        post: the text.
        questions: what is asked about it.
        explained: whether the answer is explained.
    """

    post: str
    questions: tuple[Question, ...]
    explained: bool


class Client(Protocol):
    """A way of asking."""

    async def __call__(self, ask: Ask) -> Answered:
        """Ask, and wait for the whole answer.

        Raises:
            FailedAnswerError: the server refused.
            aiohttp.ClientError: the connection failed.
        """
        ...


def session() -> aiohttp.ClientSession:
    """A session without a bound on open connections: the load decides."""
    return aiohttp.ClientSession(
        # Idle connections are closed before vLLM closes them, which it does after five seconds: a
        # request that crosses with that would count as an error.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2),
        timeout=aiohttp.ClientTimeout(total=_SECONDS),
        trust_env=False,
    )


class Analyze:
    """`POST /analyze` with one text.

    Args:
        web: sends.
        url: of the server.
        stream: as a stream, where the first label is of interest.
        consistency: whether each explanation is read once more by itself, which is the service's
            default. No other way does it, so that here it is left out unless it is asked for.
    """

    def __init__(
        self,
        web: aiohttp.ClientSession,
        url: str,
        *,
        stream: bool = False,
        consistency: bool = False,
    ) -> None:
        self._web = web
        self._consistency = consistency
        self._url = f"{url}/analyze"
        self._stream = stream

    async def __call__(self, ask: Ask) -> Answered:
        """See `Client`."""
        body = {
            "text": ask.post,
            "questions": [question.id for question in ask.questions],
            "explain": "always" if ask.explained else "never",
            "explanation_tokens": EXPLANATION_TOKENS,
            "truncation": "middle",
            "consistency": self._consistency,
        }
        if not self._stream:
            return _analyzed(await _post(self._web, self._url, body))
        first_label = first_token = None
        found = Answered()
        async for event, data in _events(self._web, self._url, {**body, "stream": True}):
            if event == "label" and first_label is None:
                first_label = time.perf_counter()
            elif event == "explanation" and first_token is None:
                first_token = time.perf_counter()
            elif event == "result":
                found = _analyzed(json.loads(data))
            elif event == "error":
                raise FailedAnswerError("error event")
        return Answered(first_label, first_token, found.tokens, found.labels)


class Chat:
    """A chat completion for each question, its text parsed into label and explanation.

    Args:
        web: sends.
        url: of the server.
        model: as it is served.
        stopped: where no explanation is wanted, stop the completion after the answer sentence,
            which has to be written since the label is in it. Whoever asks without this project has
            to know for it how this model goes on.
    """

    def __init__(
        self, web: aiohttp.ClientSession, url: str, model: str, *, stopped: bool = False
    ) -> None:
        self._stopped = stopped
        self._web = web
        self._url = f"{url}/v1/chat/completions"
        self._model = model

    async def __call__(self, ask: Ask) -> Answered:
        """See `Client`."""
        bodies = self._bodies(ask)
        completions = await asyncio.gather(*(_post(self._web, self._url, body) for body in bodies))
        texts = [one["choices"][0]["message"]["content"] or "" for one in completions]
        return Answered(
            tokens=sum(one["usage"]["completion_tokens"] for one in completions),
            labels=sum(
                parse_response(text, question).label is not None
                for text, question in zip(texts, ask.questions, strict=True)
            ),
        )

    def _bodies(self, ask: Ask) -> list[dict[str, Any]]:
        most: dict[str, Any] = {"max_tokens": EXPLANATION_TOKENS}
        if self._stopped and not ask.explained:
            most["stop"] = ["Reasoning"]
        return [
            {
                "model": self._model,
                "messages": [{"role": "user", "content": render_query(ask.post, question)}],
                "temperature": 0.0,
                **most,
            }
            for question in ask.questions
        ]


class Reads:
    """One-token completions with the likeliest tokens, one a question: labels without a text.

    What all answers of a question begin with is part of the prompt, so that the token that is read
    is the one by which they part.
    """

    def __init__(self, web: aiohttp.ClientSession, url: str, model: str) -> None:
        self._web = web
        self._url = f"{url}/v1/completions"
        self._model = model
        self._parts = {question.id: common_start(question) for question in QUESTIONS.values()}

    async def __call__(self, ask: Ask) -> Answered:
        """See `Client`."""
        bodies = [
            {
                "model": self._model,
                "prompt": f"{render_query(ask.post, question)} {self._parts[question.id]}".rstrip(),
                "max_tokens": 1,
                "temperature": 0.0,
                "logprobs": TOP,
            }
            for question in ask.questions
        ]
        completions = await asyncio.gather(*(_post(self._web, self._url, body) for body in bodies))
        likely = [one["choices"][0]["logprobs"]["top_logprobs"][0] for one in completions]
        return Answered(labels=sum(map(bool, likely)))


def common_start(question: Question) -> str:
    """The words that most of a question's answers begin with, up to where these part."""
    answers = [label.answer.split() for label in question.labels]
    start: list[str] = []
    while True:
        nexts = [words[len(start)] for words in answers if words[: len(start)] == start]
        word = max(set(nexts), key=nexts.count)
        if nexts.count(word) < 3 or nexts.count(word) * 2 <= len(answers):
            return " ".join(start)
        start.append(word)


async def _post(web: aiohttp.ClientSession, url: str, body: Mapping[str, Any]) -> Any:
    async with web.post(url, json=body) as response:
        if response.status != 200:
            raise FailedAnswerError(f"status {response.status}")
        return await response.json()


async def _events(
    web: aiohttp.ClientSession, url: str, body: Mapping[str, Any]
) -> AsyncIterator[tuple[str, str]]:
    """Server-sent events as they come: name and data."""
    async with web.post(url, json=body) as response:
        if response.status != 200:
            raise FailedAnswerError(f"status {response.status}")
        name = ""
        async for line in response.content:
            text = line.decode().rstrip("\r\n")
            if text.startswith("event: "):
                name = text.removeprefix("event: ")
            elif text.startswith("data: "):
                yield name, text.removeprefix("data: ")


def _analyzed(body: Mapping[str, Any]) -> Answered:
    [result] = body["results"]
    if result.get("error"):
        raise FailedAnswerError(result["error"]["code"])
    labels = sum(answer["label"] is not None for answer in result["answers"])
    return Answered(tokens=body["usage"]["completion_tokens"], labels=labels)
