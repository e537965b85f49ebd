"""What the server exposes, and what it says to whatever else it is asked."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from imhi.tasks import TASKS
from service.gate.routes import ROUTES
from tests.e2e.errors import assert_error
from tests.e2e.posts import POST
from tests.e2e.scrape import eventually, total
from tests.servers import asked_by_default

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
MODEL = "mentalllama-embedded"
LOGGED_ROUTE = re.compile(r"Route: (\S+), Methods: ([A-Z, ]+)$", re.MULTILINE)

# What some version of vLLM or FastAPI serves by default, or with one option.
ELSEWHERE = [
    "/ping",
    "/version",
    "/load",
    "/server_info",
    "/redoc",
    "/docs/oauth2-redirect",
    "/favicon.ico",
    "/tokenize",
    "/detokenize",
    "/tokenizer_info",
    "/v1/tokenize",
    "/v1/detokenize",
    "/v1/responses",
    "/v1/responses/resp_1",
    "/v1/responses/resp_1/cancel",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/v2/embed",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/realtime",
    "/v1/score",
    "/v1/rerank",
    "/v2/rerank",
    "/v1/decisions/x",
    "/v1/systemone",
    "/v1/chat/completions/batch",
    "/v1/chat/completions/render",
    "/v1/completions/render",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/score",
    "/rerank",
    "/pooling",
    "/classify",
    "/embed",
    "/generative_scoring",
    "/invocations",
    "/inference/v1/generate",
    "/inference/v1/abort_requests",
    "/abort_requests",
    "/scale_elastic_ep",
    "/is_scaling_elastic_ep",
    "/kv_event_sources",
    "/sleep",
    "/wake_up",
    "/is_sleeping",
    "/reset_prefix_cache",
    "/reset_mm_cache",
    "/reset_encoder_cache",
    "/collective_rpc",
    "/pause",
    "/resume",
    "/is_paused",
    "/start_profile",
    "/stop_profile",
    "/hf_overrides",
    "/init_weight_transfer_engine",
    "/update_weights",
    "/get_world_size",
    "/static",
    "/static/",
    "/static/redoc.standalone.js",
    "/static/favicon.png",
    "/static/../openapi.json",
    "/analyze/",
    "/tasks/",
    "/v1",
    "/v1/",
    "/v1/models/mentalllama-embedded",
    "//analyze",
    "/ANALYZE",
    "/analyze/x",
    "/metrics/",
    "/.env",
    "/admin",
]


def raw(url: str, method: str, path: str) -> httpx.Response:
    """Send a path exactly as it is written; httpx would tidy it up."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        request = f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    pairs = [tuple(header.split(": ", 1)) for header in headers]
    return httpx.Response(int(status.split()[1]), headers=pairs, content=body)


@pytest.mark.parametrize("path", ELSEWHERE)
def test_no_other_path_answers(server, path):
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        assert_error(raw(server.url, method, path), 404, "not_found")


def test_no_other_route_that_vllm_registers_answers(server):
    """As the server's own log lists them, whatever vLLM's version."""
    logged = LOGGED_ROUTE.findall(server.log.read_text(errors="replace"))
    others = {
        (method, re.sub(r"{.*?}", "x", path))
        for path, methods in logged
        for method in methods.split(", ")
        if path not in ROUTES
    }
    assert len(others) > 10
    for method, path in sorted(others):
        answer = raw(server.url, method, path)
        if method == "HEAD":
            assert answer.status_code == 404
        else:
            assert_error(answer, 404, "not_found")
    exposed = {path for path, _ in logged} & set(ROUTES)
    assert exposed >= {path for path in ROUTES if not path.startswith("/static/")}


@pytest.mark.parametrize(
    "path", ["/%74okenize", "/analyze%2F", "/v1/%2e%2e/tokenize", "/x/../tasks"]
)
def test_a_path_cannot_be_disguised(server, path):
    assert_error(raw(server.url, "GET", path), 404, "not_found")


def test_a_websocket_is_refused(server):
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        connection.sendall(
            f"GET /v1/realtime HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        status = connection.recv(64).split()[1]
    assert status in (b"403", b"404")


@pytest.mark.parametrize(("path", "method"), ROUTES.items())
def test_another_method_is_not_allowed(client, path, method):
    for other in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - {method}:
        response = client.request(other, path)
        assert_error(response, 405, "method_not_allowed")
        assert method in response.headers["allow"]


@pytest.mark.parametrize("path", [path for path, method in ROUTES.items() if method == "GET"])
def test_what_can_be_got_can_be_asked_for_its_head(client, path):
    whole, head = client.get(path), client.head(path)
    assert whole.status_code == head.status_code == 200
    assert whole.content
    assert not head.content
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_the_document_is_the_committed_one(client):
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert client.get("/openapi.json").json() == committed


def test_the_docs_load_nothing_from_elsewhere(client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    sources = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert {"static/swagger-ui-bundle.js", "static/swagger-ui.css"} <= set(sources)
    assert not [source for source in sources if re.match(r"\w+://|//", source)]
    for source in sources:
        if not source.startswith("data:"):
            asset = client.get(f"/{source}")
            assert asset.status_code == 200
            assert len(asset.content) > 10_000


def test_health(client):
    for path in ("/livez", "/readyz", "/health"):
        response = client.get(path)
        assert response.status_code == 200
        assert response.json() == {"status": "ready"}
        assert response.headers["cache-control"] == "no-store"


def test_tasks(client):
    catalogue = client.get("/tasks").json()
    assert [task["id"] for task in catalogue["tasks"]] == list(TASKS)
    assert catalogue["model"] == MODEL


def test_metrics_hold_the_services_and_vllms(client):
    client.post("/analyze", json={"text": POST, "tasks": ["stress"], "explanation_tokens": 4})
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = {family.name for family in text_string_to_metric_families(response.text)}
    for name in (
        *("requests", "requests_in_flight", "rejections", "phase_seconds", "posts", "questions"),
        *("labels", "confidence", "label_mass", "explanations", "evidence", "consistency"),
        *("tokens", "abstentions", "cancellations"),
    ):
        assert f"mentalllama_{name}" in families
    assert {"vllm:num_requests_running", "vllm:request_queue_time_seconds"} <= families


def test_metrics_count(client, analyze):
    def counts() -> dict[str, float]:
        return {
            "posts": total(client, "mentalllama_posts_total"),
            "stress": total(client, "mentalllama_questions_total", task="stress"),
            "wellness": total(client, "mentalllama_questions_total", task="wellness"),
            "labels": total(client, "mentalllama_labels_total"),
            "abstentions": total(client, "mentalllama_abstentions_total", question="stress"),
            "explanations": total(client, "mentalllama_explanations_total"),
            "consistency": total(client, "mentalllama_consistency_count"),
            "label_reads": total(client, "mentalllama_phase_seconds_count", phase="label_read"),
            "masses": total(client, "mentalllama_label_mass_count"),
            "ok": total(client, "mentalllama_requests_total", route="/analyze", outcome="ok"),
            "empty": total(client, "mentalllama_rejections_total", code="empty_text"),
            "prompt": total(client, "mentalllama_tokens_total", kind="prompt"),
            "cached": total(client, "mentalllama_tokens_total", kind="cached"),
            "completion": total(client, "mentalllama_tokens_total", kind="completion"),
        }

    before = counts()
    tasks = ["stress", "wellness"]
    # P(yes) = 1 is not reached: `stress` is left undecided, the six wellness questions are not.
    band = {"stress": {"yes": 1.0, "no": 1.0}}
    body = analyze(None, texts=[POST, " "], tasks=tasks, thresholds=band, explanation_tokens=4)
    risen = {name: now - before[name] for name, now in counts().items()}
    assert risen == {
        "posts": 1,
        "stress": 1,
        "wellness": 6,
        "labels": 6,
        "abstentions": 1,
        "explanations": 6,
        "consistency": 6,
        "label_reads": 1,
        "masses": 7,
        "ok": 1,
        "empty": 1,
        "prompt": body["usage"]["prompt_tokens"],
        "cached": body["usage"]["cached_tokens"],
        "completion": body["usage"]["completion_tokens"],
    }


def test_metrics_count_refusals_by_route(client):
    def refused(route: str) -> float:
        return total(client, "mentalllama_requests_total", route=route, outcome="caller_error")

    before = {route: refused(route) for route in ("/analyze", "/v1/completions", "other")}
    client.post("/analyze", json={})
    client.post("/v1/completions", json={})
    client.get("/tokenize")
    assert eventually(
        lambda: all(refused(route) == count + 1 for route, count in before.items()), 5
    )


JSON_TYPE = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "invalid_request", "text"),
        ({"text": 5}, "invalid_request", "text"),
        ({"text": None}, "invalid_request", "text"),
        ({"text": POST, "texts": [POST]}, "invalid_request", "texts"),
        ({"texts": []}, "invalid_request", "texts"),
        ({"texts": [POST] * 65}, "invalid_request", "texts"),
        ({"texts": [POST, 5]}, "invalid_request", "texts.1"),
        ({"text": ""}, "empty_text", "text"),
        ({"text": POST, "tasks": []}, "invalid_request", "tasks"),
        ({"text": POST, "tasks": ["sleep"]}, "unknown_name", "tasks.0"),
        ({"text": POST, "tasks": "stress"}, "invalid_request", "tasks"),
        ({"text": POST, "questions": ["stress", "sleep"]}, "unknown_name", "questions.1"),
        ({"text": POST, "tasks": ["stress"], "questions": []}, "invalid_request", "questions"),
        ({"text": POST, "explain": "maybe"}, "invalid_request", "explain"),
        ({"text": POST, "explanation_tokens": 0}, "invalid_request", "explanation_tokens"),
        ({"text": POST, "explanation_tokens": 10**9}, "invalid_request", "explanation_tokens"),
        ({"text": POST, "explanation_tokens": "8"}, "invalid_request", "explanation_tokens"),
        ({"text": POST, "consistency": 1}, "invalid_request", "consistency"),
        ({"text": POST, "scoring": "all"}, "invalid_request", "scoring"),
        ({"text": POST, "truncation": "left"}, "invalid_request", "truncation"),
        ({"text": POST, "abstention_band": [0.6, 0.4]}, "invalid_request", "abstention_band"),
        ({"text": POST, "abstention_band": [0.4]}, "invalid_request", "abstention_band.1"),
        ({"text": POST, "min_probability": 1.5}, "invalid_request", "min_probability"),
        ({"text": POST, "thresholds": {"stress": {"yes": -1}}}, "invalid_request", None),
        ({"text": POST, "thresholds": {"sleep": {"yes": 0.5}}}, "unknown_name", "thresholds"),
        ({"text": POST, "model": "no-such-model"}, "unknown_name", "model"),
        ({"text": POST, "stream": "yes"}, "invalid_request", "stream"),
        ({"text": POST, "sleep": 1}, "invalid_request", None),
        ([POST], "invalid_request", None),
        (POST, "invalid_request", None),
    ],
)
def test_a_wrong_analysis_request_is_refused(client, body, code, param):
    error = assert_error(client.post("/analyze", json=body), 422, code)
    if param is not None:
        assert error.param == param


@pytest.mark.parametrize(
    "path", ["/analyze", "/v1/chat/completions", "/v1/completions", "/v1/decisions"]
)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"text": "\xff"}',
        b"{'text': 'x'}",
        b"[" * 100_000,
        b"NaN",
        b"null",
        b'"' + b"x" * 100_000,
    ],
    ids=["empty", "cut", "not-utf-8", "single-quotes", "deep", "nan", "null", "long"],
)
def test_a_body_that_is_not_json_is_refused(client, path, content):
    response = client.post(path, content=content, headers=JSON_TYPE)
    assert response.status_code in (400, 422)
    assert_error(response, response.status_code, "invalid_request")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/analyze", 415, "unsupported_media_type"),
        ("/v1/chat/completions", 400, "invalid_request"),  # vLLM's own choice of a status
        ("/v1/completions", 400, "invalid_request"),
        ("/v1/decisions", 415, "unsupported_media_type"),
    ],
)
def test_a_body_of_another_type_is_refused(client, path, status, code):
    headers = {"content-type": "text/plain"}
    assert_error(client.post(path, content=b'{"text": "x"}', headers=headers), status, code)


def test_a_body_that_is_too_large_is_refused(client):
    content = b'{"text": "' + b"x" * (16 * 2**20) + b'"}'
    for path in ("/analyze", "/v1/completions"):
        response = client.post(path, content=content, headers=JSON_TYPE)
        assert_error(response, 413, "body_too_large")


def user(content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("chat/completions", {}, 400, "invalid_request"),
        ("chat/completions", {"messages": []}, 400, "invalid_request"),
        ("chat/completions", {"messages": "hello"}, 400, "invalid_request"),
        ("chat/completions", {"messages": user(5)}, 400, "invalid_request"),
        ("chat/completions", {"messages": user("x"), "n": 0}, 400, "invalid_request"),
        ("chat/completions", {"messages": user("x"), "temperature": -1}, 400, "invalid_request"),
        ("chat/completions", {"messages": user("x"), "max_tokens": 0}, 400, "invalid_request"),
        ("chat/completions", {"messages": user("x"), "top_logprobs": 99}, 400, "invalid_request"),
        ("chat/completions", {"messages": user("x"), "model": "other"}, 404, "unknown_name"),
        ("chat/completions", {"messages": user("x " * 9000)}, 400, "text_too_long"),
        ("completions", {}, 400, "invalid_request"),
        ("completions", {"prompt": ""}, 400, "invalid_request"),
        ("completions", {"prompt": {"a": 1}}, 400, "invalid_request"),
        ("completions", {"prompt": [-1]}, 400, "invalid_request"),
        ("completions", {"prompt": [10**7]}, 400, "invalid_request"),
        ("completions", {"prompt": "x", "max_tokens": "many"}, 400, "invalid_request"),
        ("completions", {"prompt": "x", "top_p": 2}, 400, "invalid_request"),
        ("completions", {"prompt": "x", "max_tokens": 10**6}, 400, "invalid_request"),
        ("completions", {"prompt": "x", "model": "other"}, 404, "unknown_name"),
    ],
)
def test_a_wrong_openai_request_is_refused(client, path, body, status, code):
    response = client.post(f"/v1/{path}", json={"model": MODEL, **body})
    assert_error(response, status, code)


def test_the_server_still_answers(client, analyze):
    """After all of the above, in whatever order it ran."""
    assert client.get("/readyz").status_code == 200
    assert len(analyze(explain="never")["results"][0]["answers"]) == len(asked_by_default())
