"""Limits of a key, over the whole gate."""

from __future__ import annotations

import asyncio

import pytest

from service.settings import Settings
from tests.service.gate.gates import (
    CHAT,
    Seen,
    client_of,
    key_entry,
    key_file,
    refusal,
    with_limits,
)


def tries_later(response) -> bool:
    return 1 <= int(response.headers["retry-after"]) <= 120


async def test_requests_a_minute():
    app = Seen()
    async with client_of(app, with_limits(requests_per_minute=2)) as client:
        assert (await client.get("/tasks")).status_code == 200
        assert (await client.post("/analyze", json={"text": "a"})).status_code == 200
        response = await client.get("/metrics")
        assert (await client.get("/livez")).status_code == 200
    assert refusal(response) == (429, "rate_limited")
    assert tries_later(response)
    assert len(app.bodies) == 3


async def test_two_keys_have_a_limit_each():
    entries = [key_entry(n, f"k{n}", limits={"requests_per_minute": 1}) for n in ("a", "b")]
    async with client_of(Seen(), Settings(keys=key_file(*entries)), key=None) as client:
        statuses = [
            (await client.get("/tasks", headers={"authorization": f"Bearer {key}"})).status_code
            for key in ("ka", "kb", "ka")
        ]
    assert statuses == [200, 200, 429]


async def test_two_hashes_of_one_caller_have_one_limit():
    from service.gate.keys import hash_key

    entry = key_entry(limits={"requests_per_minute": 1})
    entry["sha256"] = [hash_key("new"), hash_key("old")]
    async with client_of(Seen(), Settings(keys=key_file(entry)), key=None) as client:
        statuses = [
            (await client.get("/tasks", headers={"authorization": f"Bearer {key}"})).status_code
            for key in ("new", "old")
        ]
    assert statuses == [200, 429]


async def test_requests_at_one_time():
    gate = asyncio.Event()
    reached = asyncio.Semaphore(0)

    async def answer(_: bytes) -> None:
        reached.release()
        await gate.wait()

    async with client_of(Seen(answer), with_limits(concurrent_requests=2)) as client:
        body = {"text": "a"}
        running = [asyncio.create_task(client.post("/analyze", json=body)) for _ in range(2)]
        await reached.acquire()
        await reached.acquire()
        response = await client.post("/analyze", json=body)
        gate.set()
        assert [(await one).status_code for one in running] == [200, 200]
        assert (await client.post("/analyze", json=body)).status_code == 200
    assert refusal(response) == (429, "concurrency_limited")
    assert tries_later(response)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/analyze", {"texts": ["a", "b"]}),
        ("/v1/completions", {"prompt": ["a", "b"]}),
        ("/v1/completions", {"prompt": [[1, 2], [3]]}),
    ],
)
async def test_posts_a_minute(path: str, body: dict):
    async with client_of(Seen(), with_limits(posts_per_minute=3)) as client:
        assert (await client.post(path, json=body)).status_code == 200
        response = await client.post(path, json=body)
        single = await client.post(CHAT, json={"messages": []})
        again = await client.post(CHAT, json={"messages": []})
    assert refusal(response) == (429, "posts_limited")
    assert tries_later(response)
    assert single.status_code == 200
    assert refusal(again) == (429, "posts_limited")


async def test_what_could_never_pass_is_no_matter_of_time():
    async with client_of(Seen(), with_limits(posts_per_minute=2)) as client:
        response = await client.post("/analyze", json={"texts": ["a"] * 3})
    assert refusal(response) == (422, "invalid_request")
    assert "retry-after" not in response.headers


async def test_bytes_of_a_body():
    app = Seen()
    async with client_of(app, with_limits(body_bytes=100)) as client:
        assert (await client.post("/analyze", content=b" " * 100)).status_code == 200
        response = await client.post("/analyze", content=b" " * 101)
    assert refusal(response) == (413, "body_too_large")
    assert "100 bytes" in response.json()["error"]["message"]
    assert len(app.bodies) == 1


async def test_a_key_cannot_raise_the_deployments_limit():
    settings = Settings(keys=key_file(key_entry(limits={"body_bytes": 10**6})), max_body_bytes=1024)
    async with client_of(Seen(), settings) as client:
        assert (await client.post("/analyze", content=b" " * 1025)).status_code == 413


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/analyze", {"texts": ["a"] * 3}, 422, "texts"),
        ("/v1/completions", {"prompt": ["a"] * 3}, 400, "prompt"),
    ],
)
async def test_texts_of_a_request(path: str, body: dict, status: int, param: str):
    async with client_of(Seen(), with_limits(texts=2)) as client:
        response = await client.post(path, json=body)
        assert (await client.post("/analyze", json={"texts": ["a"] * 2})).status_code == 200
    assert refusal(response) == (status, "invalid_request")
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/analyze", {"text": "é" * 11}, "text"),
        ("/analyze", {"texts": ["a", "b" * 11]}, "texts.1"),
        ("/v1/completions", {"prompt": "b" * 11}, "prompt"),
        ("/v1/completions", {"prompt": [1, 2, 3]}, "prompt"),
        (CHAT, {"messages": [{"content": "a" * 6}, {"content": "b" * 5}]}, "messages"),
        (CHAT, {"messages": [{"content": [{"type": "text", "text": "a" * 11}]}]}, "messages"),
    ],
)
async def test_characters_of_a_text(path: str, body: dict, param: str):
    async with client_of(Seen(), with_limits(characters=10)) as client:
        response = await client.post(path, json=body)
        assert (await client.post("/analyze", json={"text": "é" * 10})).status_code == 200
    assert refusal(response) == (422 if path == "/analyze" else 400, "text_too_long")
    assert response.json()["error"]["param"] == param
    assert "b" * 5 not in response.text
