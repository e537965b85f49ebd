"""Bodies that are no requests: refused in our shape, and nothing of them comes back."""

from __future__ import annotations

import json
import logging

import pytest

from tests.service.api.fakes import FakeAnalyzer, client_of, make_app

CANARY = "the heron stood in the canal"
JSON = {"content-type": "application/json"}

MALFORMED = {
    "empty": b"",
    "not json": f"text={CANARY}".encode(),
    "cut off": f'{{"text": "{CANARY}'.encode(),
    "trailing": f'{{"text": "a"}} {CANARY}'.encode(),
    "a string": json.dumps(CANARY).encode(),
    "a list": json.dumps([CANARY]).encode(),
    "null": b"null",
    "not utf-8": b'{"text": "' + CANARY.encode() + b'\xff\xfe"}',
    "utf-16": json.dumps({"text": CANARY}).encode("utf-16"),
    "lone surrogate": f'{{"text": "{CANARY} \\ud83d"}}'.encode(),
    "control character": f'{{"text": "{CANARY} \x01"}}'.encode(),
    "NaN": f'{{"text": "{CANARY}", "min_probability": NaN}}'.encode(),
    "infinity": f'{{"text": "{CANARY}", "min_probability": 1e999}}'.encode(),
    "giant integer": f'{{"text": "{CANARY}", "explanation_tokens": {"9" * 5000}}}'.encode(),
    "deep nesting": f'{{"text": "{CANARY}", "tasks": {"[" * 100_000}'.encode(),
    "deep and closed": f'{{"x": {"[" * 50_000}"{CANARY}"{"]" * 50_000}}}'.encode(),
    "unknown field": json.dumps({"text": "a", CANARY: CANARY}).encode(),
    "wrong type": json.dumps({"text": {"said": CANARY}}).encode(),
    "wrong item": json.dumps({"texts": [[CANARY]]}).encode(),
    "unknown task": json.dumps({"text": "a", "tasks": [CANARY]}).encode(),
    "unknown question": json.dumps({"text": "a", "questions": [CANARY]}).encode(),
    "unknown model": json.dumps({"text": "a", "model": CANARY}).encode(),
    "unknown mode": json.dumps({"text": "a", "explain": CANARY}).encode(),
    "threshold question": json.dumps({"text": "a", "thresholds": {CANARY: {"yes": 1}}}).encode(),
    "threshold label": json.dumps({"text": "a", "thresholds": {"stress": {CANARY: 1}}}).encode(),
    "threshold word": json.dumps({"text": "a", "thresholds": {"heron": {"yes": 1}}}).encode(),
    "threshold label word": b'{"text": "a", "thresholds": {"stress": {"heron": 1}}}',
    "threshold value": json.dumps({"text": "a", "thresholds": {CANARY: {CANARY: CANARY}}}).encode(),
    "two of one": json.dumps({"text": CANARY, "texts": [CANARY]}).encode(),
}


async def test_malformed_bodies(caplog):
    caplog.set_level(logging.DEBUG)
    async with client_of(make_app(FakeAnalyzer())) as client:
        for name, body in MALFORMED.items():
            response = await client.post("/analyze", content=body, headers=JSON)
            assert response.status_code == 422, name
            assert set(response.json()) == {"error"}
            assert response.json()["error"]["code"] in {"invalid_request", "unknown_name"}
            assert "heron" not in response.text + str(response.headers) + caplog.text, name


async def test_a_failure_while_a_text_is_analysed_is_logged_without_it(caplog):
    caplog.set_level(logging.DEBUG)
    analyzer = FakeAnalyzer(fails={CANARY: ValueError(CANARY)})
    async with client_of(make_app(analyzer)) as client:
        response = await client.post("/analyze", json={"text": CANARY})
    assert response.status_code == 500
    assert "heron" not in response.text + caplog.text
    assert "ValueError" in caplog.text
    assert "service.api.work:" in caplog.text
    assert response.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
async def test_only_plain_json_is_read(headers):
    async with client_of(make_app(FakeAnalyzer())) as client:
        response = await client.post("/analyze", content=b'{"text": "a"}', headers=headers)
    assert response.status_code == 415
    assert response.json()["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
async def test_parameters_of_the_media_type_do_not_matter(kind: str):
    async with client_of(make_app(FakeAnalyzer())) as client:
        body = b'{"text": "a", "tasks": ["stress"]}'
        response = await client.post("/analyze", content=body, headers={"content-type": kind})
    assert response.status_code == 200
