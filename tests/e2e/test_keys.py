"""A server with keys: who gets in, whose cache is whose, what a deadline stops."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from service.gate.keys import hash_key
from service.gate.routes import ROUTES
from tests.e2e.errors import assert_error
from tests.e2e.posts import POST
from tests.e2e.scrape import eventually, idle, total
from tests.servers import RunningServer, serve

pytestmark = pytest.mark.engine

A, B, OPERATOR = "key-of-a-5e1f", "key-of-b-7a20", "key-of-the-operator-91c3"
MODEL = "mentalllama-embedded"


def entry(name: str, key: str, *scopes: str, **fields: object) -> dict[str, object]:
    return {"name": name, "sha256": [hash_key(key)], "scopes": scopes, **fields}


ENTRIES = [
    entry("a", A, "analyze", "openai"),
    entry("b", B, "analyze", "openai"),
    entry("operator", OPERATOR, "metrics"),
]


def write(path: Path, entries: list[dict[str, object]]) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"keys": entries}))
    beside.replace(path)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write(path, ENTRIES)
    return path


@pytest.fixture(scope="module")
def keyed(
    embedded_model: Path, key_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("keyed") / "log"
    variables = {"MENTALLLAMA_KEYS_FILE": str(key_file)}
    with serve(["--enable-prompt-tokens-details"], log, variables) as running:
        yield running


def client(server: RunningServer, key: str | None) -> httpx.Client:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=120)


def test_no_route_but_the_probes_answers_without_a_key(keyed):
    with client(keyed, None) as http:
        for path, method in ROUTES.items():
            response = http.request(method, path)
            if path in ("/livez", "/readyz"):
                assert response.status_code == 200
            else:
                assert_error(response, 401, "unauthorized")


def test_a_key_opens_what_it_is_for(keyed):
    with client(keyed, A) as http:
        assert http.get("/tasks").status_code == 200
        assert_error(http.get("/metrics"), 403, "forbidden")
    with client(keyed, OPERATOR) as http:
        assert http.get("/metrics").status_code == 200
        assert_error(http.get("/v1/models"), 403, "forbidden")
    chat = openai.OpenAI(base_url=f"{keyed.url}/v1", api_key=A, max_retries=0)
    answer = chat.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": POST}], max_tokens=4
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens >= 1
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{keyed.url}/v1", api_key="no", max_retries=0).models.list()


def test_nobody_learns_from_the_cache_what_others_sent(keyed):
    text = f"{POST} And the canal was frozen when I walked home past the lock this evening."

    def analysis(key: str) -> int:
        with client(keyed, key) as http:
            body = {"text": text, "tasks": ["stress"], "explain": "never"}
            return int(http.post("/analyze", json=body).json()["usage"]["cached_tokens"])

    def completion(key: str, **fields: object) -> int:
        with client(keyed, key) as http:
            body = {"model": MODEL, "prompt": f"Notes. {text}", "max_tokens": 1, **fields}
            usage = http.post("/v1/completions", json=body).json()["usage"]
            return int((usage["prompt_tokens_details"] or {}).get("cached_tokens") or 0)

    for ask in (analysis, completion):
        assert ask(A) == 0
        assert ask(A) >= 32
        assert ask(B) == 0
        assert ask(B) >= 32
    # What B sends as a salt is never what A's is.
    assert completion(B, cache_salt="x") == 0
    assert completion(B, cache_salt="x") >= 32


def test_what_steers_the_engine_is_refused(keyed):
    with client(keyed, A) as http:
        body = {"model": MODEL, "prompt": "a", "max_tokens": 1}
        refused = http.post("/v1/completions", json={**body, "priority": -9})
        assert_error(refused, 400, "invalid_request")
        ignored = {"X-Vllm-Priority": "-9", "X-data-parallel-rank": "7"}
        assert http.post("/v1/completions", json=body, headers=ignored).status_code == 200


@pytest.mark.parametrize("path", ["/analyze", "/v1/completions"])
def test_a_deadline_stops_the_engines_work(keyed, path: str):
    body: dict[str, object] = {"text": POST, "explanation_tokens": 512}
    if path != "/analyze":
        body = {"model": MODEL, "prompt": POST, "max_tokens": 4000, "ignore_eos": True}
    begun = time.monotonic()
    with client(keyed, A) as http:
        response = http.post(path, json=body, headers={"X-MentalLLaMA-Deadline": "0.5"})
    assert_error(response, 504, "deadline_exceeded")
    assert int(response.headers["retry-after"]) >= 1
    assert time.monotonic() - begun < 5
    with client(keyed, OPERATOR) as http:
        assert eventually(lambda: idle(http), 5)
        assert eventually(lambda: total(http, "mentalllama_running_tokens") == 0, 5)


def test_keys_come_and_go_without_a_restart(keyed, key_file):
    new = "key-of-a-newcomer-03d8"

    def status(key: str) -> int:
        with client(keyed, key) as http:
            return http.get("/tasks").status_code

    assert status(new) == 401
    write(key_file, [*ENTRIES, entry("new", new, "analyze")])
    assert eventually(lambda: status(new) == 200, 5)
    assert status(A) == 200
    write(key_file, ENTRIES)
    assert eventually(lambda: status(new) == 401, 5)


def test_no_key_is_in_the_log(keyed):
    log = keyed.log.read_text()
    assert [key for key in (A, B, OPERATOR) if key in log] == []
