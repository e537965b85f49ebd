"""Bodies made to do harm, on the real Analyzer and tokenizer: answered or refused, never repeated.

`test_body` and `test_decisions` have what no JSON parser takes and what is no request; here is what
one may take after all, and what reaches the tokenizer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.analysis.analyzer import Analyzer
from service.analysis.manifest import assumed_manifest
from service.analysis.types import Truncation
from service.api.document import build_document
from service.settings import Settings
from tests.instant_engine import InstantEngine
from tests.service.api.fakes import client_of, events_of, make_app
from tests.service.api.test_body import MALFORMED

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
def tokenizer(embedded_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(embedded_model)


@pytest.fixture(scope="module")
def analyzer(tokenizer: Any) -> Analyzer:
    manifest = assumed_manifest(MODEL, has_chat_template=True)
    return Analyzer(InstantEngine(), tokenizer, manifest, MODEL)


async def post(analyzer: Analyzer, path: str, body: object) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client_of(make_app(analyzer)) as client:
        headers = {"content-type": "application/json"}
        return await client.post(path, content=content, headers=headers)


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
@pytest.mark.parametrize("name", TEXTS)
async def test_texts(name: str, path: str, analyzer: Analyzer, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    for body in REQUESTS[path](TEXTS[name]):
        check(path, await post(analyzer, path, body), caplog.text)


@pytest.mark.parametrize("path", REQUESTS)
async def test_the_text_of_every_special_token(
    path: str, tokenizer: Any, analyzer: Analyzer, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    special = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    assert "<|im_end|>" in special
    for one in [*special, "".join(special), *("<|", "<|im_end", "<s>", "</s>", "[INST]", "[UNK]")]:
        for body in REQUESTS[path](f"{CANARY}{one}{CANARY} {one}"):
            response = await post(analyzer, path, body)
            check(path, response, caplog.text)
            if path == ANALYZE:  # of a post it is mere text
                assert response.status_code == 200
                assert [result["error"] for result in results(response)].count(None) >= 1


SURROGATES = (r"\ud800", r"\udfff", r"\ude00\ud83d", r"\ud83d\ud83d\ude00", r"\uD83D x \uDE00")
BYTES = {
    "overlong": b"\xc0\xaf\xe0\x80\xaf",
    "surrogate in UTF-8": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "cut": b"\xf0\x9f\x98",
    "continued": b"\x80\xbf",
    "Latin-1": "é".encode("latin-1"),
}
NUMBERS = (
    *("1e400", "-1e400", "1e-400", "9" * 5_000, "-" + "9" * 400, "0." + "0" * 5_000 + "1"),
    *("1e9999999999", "-0", "-0.0", "01", ".5", "1.", "+1", "0x1", "1_0", "Infinity", "-NaN"),
)


def nested(inner: str, start: str, end: str) -> str:
    return start * LEVELS + inner + end * LEVELS


DEPTHS = {
    "lists": nested(f'"{CANARY}"', "[", "]"),
    "objects": nested(f'"{CANARY}"', '{"text":', "}"),
    "both": nested(f'"{CANARY}"', '[{"text":', "}]"),
    "open lists": "[" * LEVELS,
    "open objects": '{"text":' * LEVELS,
}


def templates(path: str) -> Iterator[str]:
    """Requests in JSON with `@` in the place of one value, its quotes included."""
    if path == ANALYZE:
        yield '{"text": @}'
        for field in (
            *("texts", "tasks", "questions", "explain", "explanation_tokens", "consistency"),
            *("scoring", "thresholds", "abstention_band", "min_probability", "min_label_mass"),
            *("truncation", "model", "stream", "unknown"),
        ):
            yield f'{{"text": "{CANARY}", "{field}": @}}'
        yield f'{{"text": "{CANARY}", "abstention_band": [0, @]}}'
        yield f'{{"text": "{CANARY}", "thresholds": {{"stress": {{"yes": @}}}}}}'
        yield f'{{"texts": ["{CANARY}", @]}}'
        return
    asked = '{"type": "predicate", "instructions": "Is it late?"}'
    yield f'{{"model": @, "input": "{CANARY}", "questions": [{asked}]}}'
    for given in ("@", '[{"role": "user", "content": @}]', '[{"role": @, "content": "x"}]', "[@]"):
        yield f'{{"model": "{MODEL}", "input": {given}, "questions": [{asked}]}}'
    for question in (
        *("@", '{"type": @, "instructions": "Is it late?"}'),
        *('{"type": "predicate", "instructions": @}', asked.replace("}", ', "name": @}')),
        '{"type": "choice", "instructions": "Which?", "choices": [{"value": "a"}, {"value": @}]}',
        '{"type": "score", "instructions": "How?", "levels": [{"label": "a"}, {"label": @}]}',
    ):
        yield f'{{"model": "{MODEL}", "input": "{CANARY}", "questions": [{question}]}}'
    for field in ("safety_identifier", "prompt_cache_key", "unknown"):
        yield (f'{{"model": "{MODEL}", "input": "{CANARY}", "questions": [{asked}], "{field}": @}}')


async def check_values(path: str, analyzer: Analyzer, caplog: Any, values: list[bytes]) -> set[int]:
    """Every value in every place; the statuses that came back."""
    caplog.set_level(logging.DEBUG)
    statuses = set()
    for template in templates(path):
        for value in values:
            response = await post(analyzer, path, template.encode().replace(b"@", value))
            check(path, response, caplog.text)
            statuses.add(response.status_code)
    return statuses


@pytest.mark.parametrize("path", REQUESTS)
async def test_halves_of_surrogate_pairs(path: str, analyzer: Analyzer, caplog: Any) -> None:
    values = [f'"{CANARY} {half}"'.encode() for half in SURROGATES]
    keys = [f'{{"{CANARY} {half}": "{half}"}}'.encode() for half in SURROGATES]
    statuses = await check_values(path, analyzer, caplog, values + keys)
    assert 200 not in statuses


@pytest.mark.parametrize("path", REQUESTS)
async def test_bytes_that_are_not_utf_8(path: str, analyzer: Analyzer, caplog: Any) -> None:
    values = [b'"' + CANARY.encode() + wrong + b'"' for wrong in BYTES.values()]
    assert 200 not in await check_values(path, analyzer, caplog, values)


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7"])
async def test_other_encodings(encoding: str, path: str, analyzer: Analyzer, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    body = next(iter(REQUESTS[path](f"{CANARY} é")))
    response = await post(analyzer, path, json.dumps(body, ensure_ascii=False).encode(encoding))
    check(path, response, caplog.text)


@pytest.mark.parametrize("path", REQUESTS)
async def test_numbers(path: str, analyzer: Analyzer, caplog: Any) -> None:
    await check_values(path, analyzer, caplog, [number.encode() for number in NUMBERS])


@pytest.mark.parametrize("path", REQUESTS)
async def test_wrong_types(path: str, analyzer: Analyzer, caplog: Any) -> None:
    values = [None, True, 0, 1.5, "", CANARY, [], {}, [CANARY], {CANARY: CANARY}, {WORD: {WORD: 0}}]
    await check_values(path, analyzer, caplog, [json.dumps(value).encode() for value in values])


@pytest.mark.parametrize("path", REQUESTS)
async def test_ten_thousand_levels(path: str, analyzer: Analyzer, caplog: Any) -> None:
    values = [depth.encode() for depth in DEPTHS.values()]
    assert 200 not in await check_values(path, analyzer, caplog, values)


@pytest.mark.parametrize("path", REQUESTS)
async def test_the_last_of_two_fields_of_one_name_counts(
    path: str, analyzer: Analyzer, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    right = json.dumps(next(iter(REQUESTS[path]("I slept."))))
    for field in ("text", "tasks", "input", "questions", "model", r"te\u0078t", r"inp\u0075t"):
        wrong = json.dumps({field: {WORD: CANARY}}).replace("\\\\u", "\\u")
        first = await post(analyzer, path, f"{wrong[:-1]}, {right[1:]}".encode())
        last = await post(analyzer, path, f"{right[:-1]}, {wrong[1:]}".encode())
        check(path, first, caplog.text)
        check(path, last, caplog.text)
        assert last.status_code != 200
        known = json.loads(f'"{field}"') in json.loads(right)
        assert (first.status_code == 200) == known


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("emoji", [EMOJI, r"\ud83d\ude00"])
async def test_ten_megabytes_of_one_emoji(
    emoji: str, path: str, analyzer: Analyzer, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    many = emoji * (10_000_000 // len(emoji.encode()))
    template = next(one for one in templates(path) if '"text": @' in one or '"input": @' in one)
    response = await post(analyzer, path, template.replace("@", f'"{CANARY}{many}"').encode())
    check(path, response, caplog.text)
    assert response.json()["error"]["code"] == "text_too_long"


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_request_of_analyze_is_none_of_decisions(
    name: str, analyzer: Analyzer, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    response = await post(analyzer, DECISIONS, MALFORMED[name])
    check(DECISIONS, response, caplog.text)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_request")
