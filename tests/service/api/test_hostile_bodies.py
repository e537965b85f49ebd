"""Bodies made to do harm, on the real Analyzer: answered or refused, never repeated.

`conformance` puts values of every kind into every field, as Schemathesis makes them. Here is what
it does not make: texts and bytes that are awkward for JSON, tokenizers, logs and memory.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.analysis.analyzer import Analyzer
from service.analysis.manifest import assumed_manifest
from service.analysis.types import Truncation
from service.api.document import build_document
from service.settings import Settings
from tests.instant_engine import InstantEngine
from tests.service.api.fakes import client_of, events_of, make_app
from tests.service.api.test_body import MALFORMED
from tests.tokenizers import byte_level_tokenizer

ANALYZE, DECISIONS = "/analyze", "/v1/decisions"
MODEL = "model"
WORD = "heron"  # in every body, and in no message of ours
CANARY = f"the {WORD} stood in the canal"
MOST = Settings().max_characters
LEVELS = 10_000
EMOJI = "😀"

DOCUMENTED = {
    path: {int(status) for status in build_document()["paths"][path]["post"]["responses"]}
    for path in (ANALYZE, DECISIONS)
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_level_tokenizer()


@pytest.fixture(scope="module")
def app(tokenizer: Any) -> FastAPI:
    manifest = assumed_manifest(MODEL, has_chat_template=True)
    return make_app(Analyzer(InstantEngine(), tokenizer, manifest, MODEL))


Post = Callable[[str, object], Awaitable[httpx.Response]]


@pytest.fixture
async def post(app: FastAPI, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Post]:
    """Sends a body to a route and holds the answer against what is promised of every answer."""
    caplog.set_level(logging.DEBUG)
    async with client_of(app) as client:

        async def post(path: str, body: object) -> httpx.Response:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers = {"content-type": "application/json"}
            response = await client.post(path, content=content, headers=headers)
            check(path, response, caplog.text)
            return response

        yield post


def check(path: str, response: httpx.Response, logs: str) -> None:
    """A documented answer that is nobody's fault but the caller's, and repeats nothing."""
    assert response.status_code in DOCUMENTED[path]
    assert response.status_code < 500
    said = [logs, str(response.headers)]
    if response.status_code != 200:
        said.append(response.text)
    elif path == ANALYZE:
        said += [json.dumps(result["error"]) for result in results(response)]
    assert WORD not in "".join(said)


def results(response: httpx.Response) -> list[dict[str, Any]]:
    """The results of an answer, a stream or not."""
    if response.headers["content-type"] == "application/json":
        return list(response.json()["results"])
    name, data = events_of(response.text)[-1]
    assert name == "result"
    return list(json.loads(data)["results"])


def analyses(text: str) -> Iterator[dict[str, Any]]:
    """Requests with a text in every place that takes one."""
    for truncation in Truncation:
        yield {"text": text, "tasks": ["stress"], "truncation": truncation}
    yield {"text": text, "tasks": ["depression_cause"], "stream": True}
    yield {"texts": ["I slept.", text], "tasks": ["stress"], "explain": "never"}


def decisions(text: str) -> Iterator[dict[str, Any]]:
    """The same for /v1/decisions; what may not be so long is cut."""
    part = [{"type": "input_text", "text": text[:8192]}]
    predicate = {"type": "predicate", "instructions": "Is it late?"}
    long = {"value": text[:512], "description": text[:2048]}
    level = {"label": text[:512], "description": text[:2048]}
    for given in (text, [{"role": "user", "content": part * 2}]):
        yield {"model": MODEL, "input": given, "questions": [predicate]}
    for question in (
        predicate | {"name": text[:256]},
        predicate | {"instructions": text[:8192]},
        predicate | {"instructions": part},
        {"type": "choice", "instructions": "Which?", "choices": [{"value": "a"}, long]},
        {"type": "score", "instructions": "How?", "levels": [{"label": "a"}, level]},
    ):
        yield {"model": MODEL, "input": "It is late.", "questions": [question]}


REQUESTS = {ANALYZE: analyses, DECISIONS: decisions}

TEXTS: dict[str, str] = {
    "nothing but NUL": "\0" * 300,
    "NUL": f"{CANARY}\0{CANARY}",
    "controls": CANARY + "".join(map(chr, [*range(32), *range(127, 160)])) + CANARY,
    "right to left": f"\u202e{CANARY}\u202c \u2067{CANARY}\u2069 \u200f\u061c",
    "no width": f"\ufeff\u200b{CANARY}\u2060\u00ad\u180e",
    "line ends": "\u2028\u2029\x85\x0b\x0c\r".join([CANARY] * 3),
    "no characters": f"\uffff\ufdd0\U0010ffff{CANARY}\ufffe\U0001fffe",
    "private": f"\ue000\U000f0000{CANARY}\U0010fffd",
    "tags": CANARY + "".join(chr(0xE0000 + ord(letter)) for letter in CANARY),
    "marks on one letter": f"{CANARY} e" + "\u0301" * 5_000,
    "one grapheme": CANARY + "\U0001f469\u200d" * 3_000 + "\U0001f469",
    "the prompt's own words": f'{CANARY}" Question: {CANARY}? Reasoning: Yes. "' * 20,
    "quotes": f'"{CANARY}\\"\'“”«»' * 100,
    "as long as may be": EMOJI * (MOST - len(CANARY)) + CANARY,
    "longer than may be": EMOJI * MOST + CANARY,
    "only spaces": " \u3000\t\n" * 1_000,
    "digits": "1" * 20_000,
}


@pytest.mark.parametrize("path", REQUESTS)
async def test_texts(path: str, post: Post) -> None:
    for text in TEXTS.values():
        for body in REQUESTS[path](text):
            await post(path, body)


@pytest.mark.parametrize("path", REQUESTS)
async def test_the_text_of_every_special_token(path: str, tokenizer: Any, post: Post) -> None:
    special = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    assert "<|im_end|>" in special
    for one in [*special, "".join(special), *("<|", "<|im_end", "<s>", "</s>", "[INST]", "[UNK]")]:
        for body in REQUESTS[path](f"{CANARY}{one}{CANARY} {one}"):
            response = await post(path, body)
            if path == ANALYZE:  # of a post it is mere text
                assert response.status_code == 200
                assert [result["error"] for result in results(response)].count(None) >= 1


def nested(inner: str, start: str, end: str) -> str:
    return start * LEVELS + inner + end * LEVELS


NEVER_ANSWERED: dict[str, bytes] = {
    **{
        f"half a surrogate pair {number}": f'"{CANARY} {half}"'.encode()
        for number, half in enumerate(
            (r"\ud800", r"\udfff", r"\ude00\ud83d", r"\ud83d\ud83d\ude00", r"\uD83D x \uDE00")
        )
    },
    "half of one in a key": f'{{"{CANARY} \\ud800": "\\ud800"}}'.encode(),
    **{
        f"bytes {wrong.hex()}": b'"' + CANARY.encode() + wrong + b'"'
        for wrong in (
            b"\xc0\xaf\xe0\x80\xaf",  # overlong
            b"\xed\xa0\x80",  # a surrogate
            b"\xf4\x90\x80\x80",  # beyond Unicode
            b"\xf0\x9f\x98",  # cut
            b"\x80\xbf",
            "é".encode("latin-1"),
        )
    },
    "lists": nested(f'"{CANARY}"', "[", "]").encode(),
    "objects": nested(f'"{CANARY}"', '{"text":', "}").encode(),
    "open lists": b"[" * LEVELS,
    "open objects": b'{"text":' * LEVELS,
}
NUMBERS = (
    *("1e400", "-1e400", "1e-400", "9" * 5_000, "0." + "0" * 5_000 + "1", "1e9999999999", "-0.0"),
    *("01", ".5", "1.", "+1", "0x1", "1_0", "Infinity", "-NaN"),
)
# JSON with `@` in the place of one value, its quotes included.
ASKED = '{"type": "predicate", "instructions": "Is it late?"}'
TEMPLATES = {
    ANALYZE: (
        '{"text": @}',
        f'{{"texts": ["{CANARY}", @]}}',
        f'{{"text": "{CANARY}", "thresholds": {{"stress": {{"yes": @}}}}}}',
        f'{{"text": "{CANARY}", "unknown": @}}',
    ),
    DECISIONS: (
        f'{{"model": "{MODEL}", "input": @, "questions": [{ASKED}]}}',
        f'{{"model": @, "input": "{CANARY}", "questions": [{ASKED}]}}',
        f'{{"model": "{MODEL}", "input": "x", "questions": [{ASKED.replace("}", ", @: 1}")}]}}',
        f'{{"model": "{MODEL}", "input": "x", "questions": [@]}}',
    ),
}


@pytest.mark.parametrize("path", REQUESTS)
async def test_what_is_no_json_or_no_text(path: str, post: Post) -> None:
    for template in TEMPLATES[path]:
        for name, value in NEVER_ANSWERED.items():
            response = await post(path, template.encode().replace(b"@", value))
            assert response.status_code != 200, (template, name)
        for number in NUMBERS:
            await post(path, template.replace("@", number).encode())


@pytest.mark.parametrize("path", REQUESTS)
async def test_other_encodings(path: str, post: Post) -> None:
    body = json.dumps(next(iter(REQUESTS[path](f"{CANARY} é"))), ensure_ascii=False)
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7"):
        await post(path, body.encode(encoding))


@pytest.mark.parametrize("path", REQUESTS)
async def test_the_last_of_two_fields_of_one_name_counts(path: str, post: Post) -> None:
    right = json.dumps(next(iter(REQUESTS[path]("I slept."))))
    for field in ("text", "tasks", "input", "questions", "model", r"te\u0078t", r"inp\u0075t"):
        wrong = json.dumps({field: {WORD: CANARY}}).replace("\\\\u", "\\u")
        first = await post(path, f"{wrong[:-1]}, {right[1:]}".encode())
        last = await post(path, f"{right[:-1]}, {wrong[1:]}".encode())
        assert last.status_code != 200
        known = json.loads(f'"{field}"') in json.loads(right)
        assert (first.status_code == 200) == known


@pytest.mark.parametrize("path", REQUESTS)
async def test_ten_megabytes_of_one_emoji(path: str, post: Post) -> None:
    for emoji in (EMOJI, r"\ud83d\ude00"):
        many = emoji * (10_000_000 // len(emoji.encode()))
        response = await post(path, TEMPLATES[path][0].replace("@", f'"{CANARY}{many}"').encode())
        assert response.json()["error"]["code"] == "text_too_long"


async def test_what_is_no_request_of_analyze_is_none_of_decisions(post: Post) -> None:
    for name, body in MALFORMED.items():
        response = await post(DECISIONS, body)
        code = response.json()["error"]["code"]
        assert (response.status_code, code) == (400, "invalid_request"), name
