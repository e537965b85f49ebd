"""Requests to `/v1/decisions`."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.service.api.fakes import FakeAnalyzer, client_of, make_app

TEXT = "Nights are long and I lie awake."
PREDICATE = {"type": "predicate", "instructions": "The poster cannot sleep."}


def request(*questions: object, **fields: object) -> dict[str, Any]:
    chosen = list(questions) or [PREDICATE]
    return {"model": "fake-model", "input": TEXT, "questions": chosen} | fields


def choice(*values: object, instructions: str = "Which is it?", **fields: object) -> dict[str, Any]:
    choices = [{"value": value} for value in values]
    return {"type": "choice", "instructions": instructions, "choices": choices} | fields


def score(*labels: str) -> dict[str, Any]:
    levels = [{"label": label} for label in labels]
    return {"type": "score", "instructions": "How tense is it?", "levels": levels}


async def post(
    body: object, analyzer: FakeAnalyzer | None = None, **settings: object
) -> httpx.Response:
    async with client_of(make_app(analyzer or FakeAnalyzer(), **settings)) as client:
        return await client.post(
            "/v1/decisions",
            content=json.dumps(body),
            headers={"content-type": "application/json"},
        )
