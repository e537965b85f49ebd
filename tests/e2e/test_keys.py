"""Who gets in, how often, whose cache is whose, and what a deadline stops."""

from __future__ import annotations

import time

import httpx
import openai
import pytest

from service.gate.routes import ROUTES
from tests.e2e.deployment import (
    ENTRIES,
    KEY,
    LIMITED_KEY,
    MODEL,
    OPERATOR_KEY,
    OTHER_KEY,
    REQUESTS_PER_MINUTE,
    authorized,
    entry,
    write_keys,
)
from tests.e2e.errors import assert_error
from tests.e2e.posts import POST
from tests.e2e.scrape import eventually, idle, total
from tests.servers import RunningServer

pytestmark = pytest.mark.engine


def caller(server: RunningServer, key: str | None) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers=authorized(key), timeout=120)


def test_no_route_but_the_probes_answers_without_a_key(server):
    with caller(server, None) as http:
        for path, method in ROUTES.items():
            response = http.request(method, path)
            if path in ("/livez", "/readyz"):
                assert response.status_code == 200
            else:
                assert_error(response, 401, "unauthorized")
        # What vLLM mounts there answers every method alike.
        for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE"):
            assert "python_info" not in http.request(method, "/metrics").text


def test_a_key_opens_what_it_is_for(server):
    with caller(server, OTHER_KEY) as http:
        assert http.get("/tasks").status_code == 200
        assert_error(http.get("/metrics"), 403, "forbidden")
    with caller(server, OPERATOR_KEY) as http:
        assert "python_info" in http.get("/metrics").text
        assert_error(http.get("/v1/models"), 403, "forbidden")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="no", max_retries=0).models.list()


def test_a_key_has_its_limits(server):
    with caller(server, LIMITED_KEY) as http:
        body = {"text": POST, "tasks": ["stress"], "explain": "never"}
        responses = [http.post("/analyze", json=body) for _ in range(REQUESTS_PER_MINUTE + 1)]
    *answered, refused = responses
    assert {response.status_code for response in answered} == {200}
    assert_error(refused, 429, "rate_limited")
    # The window slides: at most until this minute's and the last one's are forgotten.
    assert 1 <= int(refused.headers["retry-after"]) <= 120


def test_nobody_learns_from_the_cache_what_others_sent(server):
    text = f"The canal was frozen when I walked home past the lock this evening. {POST}"

    def analysis(key: str) -> int:
        with caller(server, key) as http:
            body = {"text": text, "tasks": ["stress"], "explain": "never"}
            return int(http.post("/analyze", json=body).json()["usage"]["cached_tokens"])

    def completion(key: str, **fields: object) -> int:
        with caller(server, key) as http:
            body = {"model": MODEL, "prompt": f"Notes. {text}", "max_tokens": 1, **fields}
            usage = http.post("/v1/completions", json=body).json()["usage"]
            return int((usage["prompt_tokens_details"] or {}).get("cached_tokens") or 0)

    for ask in (analysis, completion):
        for key in (KEY, OTHER_KEY):
            assert ask(key) == 0
            assert ask(key) >= 32
    # What a caller sends as a salt is never what another's is.
    assert completion(OTHER_KEY, cache_salt="x") == 0
    assert completion(OTHER_KEY, cache_salt="x") >= 32


def test_what_steers_the_engine_is_refused(client):
    body = {"model": MODEL, "prompt": "a", "max_tokens": 1}
    refused = client.post("/v1/completions", json={**body, "priority": -9})
    assert_error(refused, 400, "invalid_request")
    ignored = {"X-Vllm-Priority": "-9", "X-data-parallel-rank": "7"}
    assert client.post("/v1/completions", json=body, headers=ignored).status_code == 200


@pytest.mark.parametrize("path", ["/analyze", "/v1/completions"])
def test_a_deadline_stops_the_engines_work(client, path: str):
    body: dict[str, object] = {"texts": [f"{n} {POST}" for n in range(64)]}
    if path != "/analyze":
        body = {"model": MODEL, "prompt": POST, "max_tokens": 3500, "ignore_eos": True}
    assert eventually(lambda: idle(client), 20)
    begun = time.monotonic()
    response = client.post(path, json=body, headers={"X-MentalLLaMA-Deadline": "0.5"})
    assert_error(response, 504, "deadline_exceeded")
    assert int(response.headers["retry-after"]) >= 1
    assert time.monotonic() - begun < 5
    assert eventually(lambda: idle(client), 5)
    assert eventually(lambda: total(client, "mentalllama_running_tokens") == 0, 5)


def test_keys_come_and_go_without_a_restart(server, key_file):
    new = "key-of-a-newcomer-03d8"

    def status(key: str) -> int:
        with caller(server, key) as http:
            return http.get("/tasks").status_code

    assert status(new) == 401
    try:
        write_keys(key_file, [*ENTRIES, entry("new", new, "analyze")])
        assert eventually(lambda: status(new) == 200, 5)
        assert status(KEY) == 200
    finally:
        write_keys(key_file, ENTRIES)
    assert eventually(lambda: status(new) == 401, 5)


def test_no_key_is_in_the_log(server):
    log = server.log.read_text(errors="replace")
    assert [key for key in (KEY, OTHER_KEY, OPERATOR_KEY, LIMITED_KEY) if key in log] == []
