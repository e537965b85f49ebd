"""Answers held against what they should be: right, a clear refusal, or neither."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from loadtests.clients import EXPLANATION_TOKENS, Ask
from loadtests.drive import Answered

TIE = 0.05
"""Labels whose probabilities are nearer than this are a tie: either is right. Rounding, which
depends on what else is in a batch, decides between them."""

REFUSALS = frozenset({429, 503, 504})
DEADLINE = "x-mentalllama-deadline"


class RefusedError(Exception):
    """A clear refusal: a documented status, a code, and Retry-After."""


class WrongAnswerError(Exception):
    """Another label than the post gets with nobody else there, or an answer that is not whole."""


class BrokenAnswerError(Exception):
    """Neither an answer nor a clear refusal."""


Expected = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Post to question to label to probability, read with nobody else there."""


@dataclass(slots=True)
class Held:
    """`POST /analyze` with one text, a client of `loadtests.drive`.

    Attributes:
        web: sends.
        url: of the server.
        expected: what answers are held against.
        deadline: seconds that each request carries; None for none.
        refusals: code of a refusal to how often it came.
    """

    web: aiohttp.ClientSession
    url: str
    expected: Expected
    deadline: float | None = None
    refusals: Counter[str] = field(default_factory=Counter)

    async def __call__(self, ask: Ask) -> Answered:
        """Ask, and hold the answer against the expected one.

        Raises:
            RefusedError, WrongAnswerError, BrokenAnswerError: see there.
            aiohttp.ClientError: the connection failed.
        """
        headers = {} if self.deadline is None else {DEADLINE: f"{self.deadline:g}"}
        async with self.web.post(
            f"{self.url}/analyze", json=body_of(ask), headers=headers
        ) as response:
            text = await response.text()
        if response.status != 200:
            self._refused(response.status, response.headers, text)
        found = probabilities(text)
        first = time.perf_counter()
        expected = self.expected[ask.post]
        if found.keys() != {question.id for question in ask.questions}:
            raise WrongAnswerError
        if not all(agree(found[one], expected[one]) for one in found):
            raise WrongAnswerError
        tokens = json.loads(text)["usage"]["completion_tokens"]
        return Answered(first, first, tokens, len(found))

    def _refused(self, status: int, headers: Mapping[str, str], text: str) -> None:
        try:
            code = json.loads(text)["error"]["code"]
        except (ValueError, LookupError, TypeError):
            raise BrokenAnswerError from None
        if status not in REFUSALS or not headers.get("retry-after", "").isdigit():
            raise BrokenAnswerError
        self.refusals[code] += 1
        raise RefusedError


def body_of(ask: Ask) -> dict[str, Any]:
    """The request's body."""
    return {
        "text": ask.post,
        "questions": [question.id for question in ask.questions],
        "explain": "always" if ask.explained else "never",
        "explanation_tokens": EXPLANATION_TOKENS,
        "truncation": "middle",
    }


def probabilities(text: str) -> dict[str, dict[str, float]]:
    """Question to label to probability, of the answer to one text.

    Raises:
        WrongAnswerError: the text was not analysed.
    """
    try:
        [result] = json.loads(text)["results"]
        return {one["question"]: one["probabilities"] for one in result["answers"]}
    except (ValueError, LookupError, TypeError):
        raise WrongAnswerError from None


def agree(found: Mapping[str, float], expected: Mapping[str, float]) -> bool:
    """Whether two readings of a question have the same label, ties aside."""
    best = max(found, key=found.__getitem__)
    return expected[best] >= max(expected.values()) - TIE


async def expect(web: aiohttp.ClientSession, url: str, asks: Sequence[Ask]) -> Expected:
    """Read the posts one after the other, with nobody else there.

    Raises:
        BrokenAnswerError: the server does not answer.
    """
    found: dict[str, Mapping[str, Mapping[str, float]]] = {}
    for ask in asks:
        body = body_of(ask) | {"explain": "never"}
        async with web.post(f"{url}/analyze", json=body) as response:
            if response.status != 200:
                raise BrokenAnswerError
            found[ask.post] = probabilities(await response.text())
    return found
