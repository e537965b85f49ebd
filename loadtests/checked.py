"""Answers under load, each checked against the right one; what a long run must keep.

The right answer of a post is the one that it gets with nobody else there. Anything else must be a
clear refusal: a documented status, an error code and Retry-After.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx

from loadtests.generator import NO_REUSE, Answered, Body, FailedAnswerError
from loadtests.vitals import Reading, growth
from training.evaluate.document import Table

TIE = 0.05
"""Labels whose probabilities are nearer than this are a tie: either is right. Rounding, which
depends on what else is in a batch, decides between them."""

REFUSALS = frozenset({429, 503, 504})
DEADLINE = "x-mentalllama-deadline"
FLAT = 0.05
"""Most that memory may grow once caches are full, as a share."""

REFUSED, WRONG, BROKEN = "refused", "wrong", "broken"
"""What an answer is that is not right, as the load generator's error."""

Expected = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Post to question to label to probability, read with nobody else there."""


@dataclass(slots=True)
class CheckedClient:
    """Sends requests to `/analyze` and checks each answer.

    Attributes:
        expected: the right answers.
        deadline: seconds that each request carries; None for none.
        refusals: code of a refusal to how often it came.
    """

    expected: Expected
    deadline: float | None = None
    refusals: Counter[str] = field(default_factory=Counter)

    async def __call__(self, session: aiohttp.ClientSession, url: str, body: Body) -> Answered:
        """See `loadtests.generator.Ask`.

        Raises:
            FailedAnswerError: it is not right; the message is `refused`, `wrong` or `broken`.
            aiohttp.ClientError: the connection failed.
        """
        headers = {**NO_REUSE, **({DEADLINE: f"{self.deadline:g}"} if self.deadline else {})}
        async with session.post(url, json=body, headers=headers) as response:
            text = await response.text()
        if response.status != 200:
            self._refused(response.status, response.headers, text)
        found = probabilities(text)
        expected = self.expected[body["text"]]
        if found.keys() != set(body["questions"]):
            raise FailedAnswerError(WRONG)
        if not all(agree(found[one], expected[one]) for one in found):
            raise FailedAnswerError(WRONG)
        return Answered(tokens=json.loads(text)["usage"]["completion_tokens"])

    def _refused(self, status: int, headers: Mapping[str, str], text: str) -> None:
        try:
            code = json.loads(text)["error"]["code"]
        except (ValueError, LookupError, TypeError):
            raise FailedAnswerError(BROKEN) from None
        if status not in REFUSALS or not headers.get("retry-after", "").isdigit():
            raise FailedAnswerError(BROKEN)
        self.refusals[code] += 1
        raise FailedAnswerError(REFUSED)


def probabilities(text: str) -> dict[str, dict[str, float]]:
    """Question to label to probability, of the answer to one text.

    Raises:
        FailedAnswerError: the text was not analysed.
    """
    try:
        [result] = json.loads(text)["results"]
        return {one["question"]: one["probabilities"] for one in result["answers"]}
    except (ValueError, LookupError, TypeError):
        raise FailedAnswerError(WRONG) from None


def agree(found: Mapping[str, float], expected: Mapping[str, float]) -> bool:
    """Whether two readings of a question have the same label, ties aside."""
    best = max(found, key=found.__getitem__)
    return expected[best] >= max(expected.values()) - TIE


async def read_alone(url: str, bodies: Sequence[Body]) -> Expected:
    """Read posts one after the other, with nobody else there.

    Raises:
        FailedAnswerError: the server does not answer.
    """
    found: dict[str, Mapping[str, Mapping[str, float]]] = {}
    async with httpx.AsyncClient(timeout=600, trust_env=False) as client:
        for body in bodies:
            response = await client.post(f"{url}/analyze", json={**body, "explain": "never"})
            if response.status_code != 200:
                raise FailedAnswerError(f"status {response.status_code}")
            found[body["text"]] = probabilities(response.text)
    return found


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold.

    Attributes:
        what: in words, with its bound.
        seen: what was measured, in words.
        passed: whether it is enough.
    """

    what: str
    seen: str
    passed: bool


@dataclass(frozen=True, slots=True)
class LongRun:
    """What a long run came to.

    Attributes:
        title: what was done, in a line.
        checks: what had to hold.
        readings: the server's memory, files and threads over time.
        counts: requests by kind, and answers by what became of them.
        percentiles: of the answers' latency, in milliseconds.
    """

    title: str
    checks: Sequence[Check]
    readings: Sequence[Reading]
    counts: Mapping[str, int]
    percentiles: Mapping[str, float]

    def table(self) -> Table:
        """What had to hold and what was seen."""
        rows = tuple((one.what, one.seen, "ok" if one.passed else "FAILED") for one in self.checks)
        return Table(self.title, ("What must hold", "Seen", ""), rows)


def latency_percentiles(found: Mapping[str, Any]) -> dict[str, float]:
    """The percentiles of the load generator's result."""
    return {name: float(found[f"{name}_e2el_ms"]) for name in ("p50", "p95", "p99")}


def check_errors(errors: Sequence[str]) -> tuple[Check, Check]:
    """That every answer is right, and everything else a clear refusal.

    Args:
        errors: of all requests, "" for a right answer.
    """
    counted = Counter(error for error in errors if error)
    wrong = counted.pop(WRONG, 0)
    counted.pop(REFUSED, None)
    broken = counted.total()
    return (
        Check("every answer is whole and has the right labels", f"{wrong} are wrong", not wrong),
        Check(
            "every other request is refused with a status, a code and Retry-After",
            f"{broken} are neither" + "".join(f"; {name}: {n}" for name, n in counted.items()),
            not broken,
        ),
    )


def check_memory(readings: Sequence[Reading]) -> Check:
    """That memory does not grow once caches are full."""
    grown = growth([reading.resident for reading in readings])
    last = readings[-1].resident / 2**20 if readings else 0.0
    return Check(
        f"memory grows by at most {FLAT:.0%}, second quarter to last",
        f"{grown:+.1%}, to {last:,.0f} MiB",
        bool(readings) and grown <= FLAT,
    )
