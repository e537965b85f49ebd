"""What a caller writes is in no log, no metric, no error: looked for with words sent everywhere.

Every request below holds a word of its own that nothing else could hold. Afterwards none of them
may be found in the server's log (as it is, or as the tokens it is made of), in /metrics, in the
body of an error, or in the headers of any response.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tokenizers import Tokenizer

from service.api.schemas import ErrorResponse
from tests.e2e.deployment import KEY, MODEL, authorized
from tests.e2e.posts import LONG
from tests.e2e.scrape import eventually, idle
from tests.servers import RunningServer

pytestmark = pytest.mark.engine

WORD = "WORD"
"""Stands in a request where its word comes."""

ANALYZE: dict[str, object] = {
    "labels": {"text": WORD, "explain": "never"},
    "explained": {"text": f"{WORD} and I cannot sleep", "tasks": ["stress"]},
    "sentences": {"text": WORD, "tasks": ["stress"], "explain": "never", "scoring": "sentences"},
    "stream": {"text": WORD, "tasks": ["stress"], "stream": True},
    "several": {"texts": [WORD, " ", f"{WORD} {LONG}"], "tasks": ["stress"], "explain": "never"},
    "special tokens": {"text": f"</s>{WORD}<s>{WORD}", "explain": "never"},
    "injection": {"text": f'{WORD}" Question: {WORD}', "explain": "never"},
    "too long": {"text": f"{WORD} {LONG} {WORD}"},
    "too long, in a stream": {"text": f"{WORD} {LONG}", "stream": True},
    "too long at all": {"text": WORD * 50_000},
    "unknown field": {"text": "x", WORD: WORD},
    "model": {"text": WORD, "model": WORD},
    "threshold": {"text": WORD, "thresholds": {WORD: {"yes": 0.5}}},
    "tasks": {"text": WORD, "tasks": [WORD]},
}
"""What our own routes are sent and refuse is in tests/service/api, word by word."""


def said(content: object = WORD, role: str = "user", **fields: object) -> dict[str, object]:
    return {"role": role, "content": content, **fields}


CHAT: dict[str, object] = {
    "plain": {"messages": [said()], "max_tokens": 4},
    "stream": {"messages": [said()], "max_tokens": 4, "stream": True},
    "logprobs": {"messages": [said()], "max_tokens": 4, "logprobs": True, "top_logprobs": 2},
    "stop": {"messages": [said()], "max_tokens": 4, "stop": [WORD], "user": WORD},
    "unknown model": {"messages": [said()], "model": "no-such-model"},
    "too long": {"messages": [said(f"{WORD} {'tired ' * 9000}")]},
    "too many tokens": {"messages": [said()], "max_tokens": 9000},
    "role": {"messages": [said(role=WORD)], "max_tokens": 4},
    "number": {"messages": [said(5), said()]},
    "object": {"messages": [said({WORD: WORD})]},
    "part": {"messages": [said([{"type": WORD, "text": WORD}])]},
    "image": {"messages": [said([{"type": "image_url", "image_url": {"url": WORD}}])]},
    "messages": {"messages": WORD},
    "unknown field": {"messages": [said()], "max_tokens": 4, WORD: WORD},
    "template": {"messages": [said()], "max_tokens": 4, "chat_template": f"{WORD} {{{{ x.y.z }}}}"},
    "template's words": {"messages": [said()], "max_tokens": 4, "chat_template_kwargs": WORD},
    "tool": {"messages": [said()], "tools": [{"type": "function", "function": {"name": WORD}}]},
    "tool choice": {"messages": [said()], "tool_choice": WORD},
    "tool call": {
        "messages": [
            said(
                role="assistant",
                tool_calls=[
                    {"id": WORD, "type": "function", "function": {"name": WORD, "arguments": WORD}}
                ],
            )
        ],
        "max_tokens": 4,
    },
    "format": {"messages": [said()], "response_format": {"type": WORD}},
    "schema": {
        "messages": [said()],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": WORD, "schema": {"type": WORD}},
        },
    },
    "expression": {"messages": [said()], "structured_outputs": {"regex": f"[{WORD}("}},
    "grammar": {"messages": [said()], "structured_outputs": {"grammar": f"{WORD} ::= {WORD}("}},
    "prompt's logprobs": {"messages": [said()], "prompt_logprobs": -5},
    "bias": {"messages": [said()], "logit_bias": {WORD: 1}},
    "cache": {"messages": [said()], "max_tokens": 4, "cache_salt": WORD},
    "added to both": {
        "messages": [said()],
        "add_generation_prompt": True,
        "continue_final_message": True,
    },
    **{
        f"wrong {field}": {"messages": [said()], field: WORD}
        for field in (
            "max_tokens",
            "temperature",
            "n",
            "logprobs",
            "stream",
            "seed",
            "top_logprobs",
        )
    },
}

COMPLETION: dict[str, object] = {
    "plain": {"prompt": WORD, "max_tokens": 4},
    "stream": {"prompt": WORD, "max_tokens": 4, "stream": True},
    "several": {"prompt": [WORD, WORD], "max_tokens": 2},
    "echo": {"prompt": WORD, "max_tokens": 1, "echo": True, "logprobs": 1},
    "unknown model": {"prompt": WORD, "model": "no-such-model"},
    "too long": {"prompt": f"{WORD} {'tired ' * 9000}"},
    "too many tokens": {"prompt": WORD, "max_tokens": 10**6},
    "too many logprobs": {"prompt": WORD, "logprobs": 10**4},
    "object": {"prompt": {WORD: WORD}},
    "mixed": {"prompt": [WORD, 5]},
    "suffix": {"prompt": WORD, "suffix": WORD},
    "embeddings": {"prompt_embeds": WORD, "max_tokens": 1},
    "format": {"prompt": WORD, "response_format": {"type": WORD}},
    "expression": {"prompt": WORD, "structured_outputs": {"regex": f"[{WORD}("}},
    "unknown field": {"prompt": WORD, "max_tokens": 1, WORD: WORD},
    "streamed options": {"prompt": WORD, "stream_options": {"include_usage": WORD}},
    **{
        f"wrong {field}": {"prompt": WORD, field: WORD}
        for field in ("max_tokens", "temperature", "best_of", "logit_bias", "seed", "stream")
    },
}

ASKED = {"type": "predicate", "instructions": WORD}
DECISIONS: dict[str, object] = {
    "plain": {"input": WORD, "questions": [ASKED | {"name": WORD}]},
    "choice": {
        "input": WORD,
        "questions": [
            {
                "type": "choice",
                "instructions": WORD,
                "choices": [{"value": WORD, "description": WORD}, {"value": f"not {WORD}"}],
            }
        ],
    },
    "too long": {"input": f"{WORD} {LONG}", "questions": [ASKED]},
    "questions": {"input": WORD, "questions": WORD},
}

BROKEN: dict[str, bytes] = {
    "cut": b'{"text": "WORD", "prompt": "WORD", "messages": [{"role": "user", "content": "WORD',
    "bytes": b'{"text": "WORD \xff\xfe", "prompt": "WORD \xff\xfe"}',
    "surrogate": rb'{"text": "WORD \ud800", "prompt": "WORD \ud800"}',
    "quotes": b"{'text': 'WORD', 'prompt': 'WORD'}",
    "bare": b"WORD",
    "twice": b'{"text": "WORD", "text": 5, "prompt": "WORD", "prompt": {}}',
    "deep": b'{"text": ' + b"[" * 5000 + b'"WORD"',
    "huge number": b'{"text": "WORD", "prompt": "WORD", "explanation_tokens": 1'
    + b"0" * 5000
    + b"}",
    "too large": b'{"text": "WORD' + b" " * (16 * 2**20) + b'"}',
}


@dataclass(frozen=True)
class Sent:
    """A request that held a word, and what came back; None where the client did not wait."""

    what: str
    word: str
    response: httpx.Response | None


def new_word() -> str:
    return f"zq{uuid4().hex[:12]}"


def send(client: httpx.Client, what: str, path: str, body: object, **headers: str) -> Sent:
    """Send a body with a new word in it."""
    word = new_word()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    content = content.replace(WORD.encode(), word.encode())
    if headers.get("content-encoding") == "gzip":
        content = gzip.compress(content)
    response = client.post(
        path, content=content, headers={"content-type": "application/json", **headers}
    )
    return Sent(f"{path}: {what}", word, response)


def asked(client: httpx.Client, path: str) -> Sent:
    """Look at a path with a new word in everything that a URL and headers can hold."""
    word = new_word()
    response = client.get(
        f"{path}?{word}={word}", headers={"traceparent": word, "user-agent": word, "cookie": word}
    )
    return Sent(f"GET {path}", word, response)


async def leave(url: str, path: str, body: dict[str, object]) -> Sent:
    """Send a body with a new word in it and close the connection when the work has begun."""
    word = new_word()
    body = json.loads(json.dumps(body).replace(WORD, word))
    async with httpx.AsyncClient(base_url=url, headers=authorized(KEY), timeout=60) as client:
        if body.get("stream"):
            async with client.stream("POST", path, json=body) as response:
                await anext(response.aiter_lines())
        else:
            with contextlib.suppress(httpx.ReadTimeout):
                found = await client.post(path, json=body, timeout=httpx.Timeout(60, read=0.3))
                pytest.fail(f"{path} was answered before the client left: {found.status_code}")
    return Sent(f"{path}: the client left", word, None)


@pytest.fixture(scope="module")
def sent(client: httpx.Client, server: RunningServer) -> list[Sent]:
    """Everything that is sent, with what came back."""
    return list(send_all(client, server.url))


def send_all(client: httpx.Client, url: str) -> Iterator[Sent]:
    for what, body in ANALYZE.items():
        if isinstance(body, dict) and "explanation_tokens" not in body:
            body = {"explanation_tokens": 8, **body}
        yield send(client, what, "/analyze", body)
    for path, bodies in (
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", COMPLETION),
        ("/v1/decisions", DECISIONS),
    ):
        for what, body in bodies.items():
            yield send(client, what, path, {"model": MODEL, **body})
        yield send(client, "model", path, {"model": WORD, **next(iter(bodies.values()))})
    for path in ("/analyze", "/v1/chat/completions", "/v1/completions", "/v1/decisions"):
        for what, content in BROKEN.items():
            yield send(client, what, path, content)
        everything = {
            "model": MODEL,
            "text": WORD,
            "prompt": WORD,
            "messages": [said()],
            "input": WORD,
        }
        yield send(client, "media type", path, everything, **{"content-type": "text/plain"})
        yield send(client, "form", path, everything, **{"content-type": "multipart/form-data"})
        yield send(client, "compressed", path, everything, **{"content-encoding": "gzip"})
    for path in ("/analyze", "/livez", "/tasks", "/v1/models", "/nowhere"):
        yield asked(client, path)
    for path in ("/tokenize", "/v1/embeddings", "/invocations", "/tasks", "/metrics", "/nowhere"):
        yield send(client, "elsewhere", path, {"model": MODEL, "prompt": WORD, "text": WORD})
    long = {"model": MODEL, "max_tokens": 2000, "ignore_eos": True}
    for path, body in (
        ("/analyze", {"texts": [f"{WORD} {n}" for n in range(64)], "explanation_tokens": 64}),
        ("/v1/chat/completions", {**long, "messages": [said()]}),
        ("/v1/completions", {**long, "prompt": WORD}),
    ):
        for stream in (False, True):
            yield asyncio.run(leave(url, path, {**body, "stream": stream}))
    assert eventually(lambda: idle(client), 20)


@pytest.fixture(scope="module")
def log(client: httpx.Client, server: RunningServer, sent: list[Sent]) -> str:
    """The server's whole log, once it holds what was logged last."""
    last = new_word()
    client.get("/tasks", headers={"x-request-id": last})
    assert eventually(lambda: last in server.log.read_text(errors="replace"), 10)
    return server.log.read_text(errors="replace")


def test_no_response_repeats_what_was_sent(sent):
    answered = [one for one in sent if one.response is not None]
    # So that this looks at what it says it looks at.
    assert {one.response.status_code for one in answered} >= {200, 400, 404, 405, 413, 415, 422}
    assert [one.what for one in answered if one.response.status_code >= 500] == []
    assert len(sent) - len(answered) == 6
    repeated = []
    for one in answered:
        if one.response.status_code >= 400:
            ErrorResponse.model_validate_json(one.response.content)
            if one.word in one.response.text:
                repeated.append(one.what)
        if one.word in str(one.response.headers):
            repeated.append(f"{one.what}, headers")
    assert repeated == []


def test_no_error_among_results_repeats_what_was_sent(sent):
    (several,) = [one for one in sent if one.what == "/analyze: several"]
    errors = [result["error"] for result in several.response.json()["results"]]
    assert [error and error["code"] for error in errors] == [None, "empty_text", "text_too_long"]
    assert several.word not in json.dumps(errors)


def test_the_log_holds_nothing_of_what_was_sent(sent, log, tiny_model: Path):
    """Neither the words nor the tokens that they are made of."""
    assert {one.what for one in sent if one.word.lower() in log.lower()} == set()
    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    digits = log.replace(" ", "")
    found = []
    for one in sent:
        # The first and the last token depend on what stands around the word.
        inner = tokenizer.encode(f" {one.word}", add_special_tokens=False).ids[1:-1]
        if ",".join(map(str, inner)) in digits:
            found.append(one.what)
    assert found == []


def test_the_metrics_hold_nothing_of_what_was_sent(sent, client):
    metrics = client.get("/metrics").text
    assert [one.what for one in sent if one.word in metrics] == []
