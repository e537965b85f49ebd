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

from imhi.tasks import QUESTIONS, TASKS
from service.gate.routes import ROUTES
from tests.e2e.deployment import KEY, MODEL
from tests.e2e.errors import assert_error
from tests.e2e.posts import POST
from tests.e2e.scrape import eventually, total

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
LOGGED_ROUTE = re.compile(r"Route: (/\S*), Methods: ([A-Z, ]+)")


def raw(url: str, method: str, path: str) -> httpx.Response:
    """Send a path exactly as it is written; httpx would tidy it up."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        request = (
            f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    pairs = [tuple(header.split(": ", 1)) for header in headers]
    return httpx.Response(int(status.split()[1]), headers=pairs, content=body)


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
    "path",
    ["/%74okenize", "/analyze%2F", "/v1/%2e%2e/tokenize", "/x/../tasks", "/static/../openapi.json"],
)
def test_a_path_cannot_be_disguised(server, path):
    for method in ("GET", "POST"):
        assert_error(raw(server.url, method, path), 404, "not_found")


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


@pytest.mark.parametrize("path", [path for path, method in ROUTES.items() if method == "GET"])
def test_what_can_be_got_has_a_head(client, path):
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
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    sources = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert {"static/swagger-ui-bundle.js", "static/swagger-ui.css"} <= set(sources)
    assert not [source for source in sources if re.match(r"\w+://|//", source)]
    for source in sources:
        if not source.startswith("data:"):
            assert len(client.get(f"/{source}").content) > 10_000


def test_health(client):
    for path in ("/livez", "/readyz", "/health"):
        response = client.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ready"})
        assert response.headers["cache-control"] == "no-store"


def test_tasks(client):
    catalogue = client.get("/tasks").json()
    assert [task["id"] for task in catalogue["tasks"]] == list(TASKS)
    assert catalogue["model"] == MODEL


def test_metrics_are_the_services_and_vllms(client):
    client.post("/analyze", json={"text": POST, "tasks": ["stress"], "explanation_tokens": 4})
    text = client.get("/metrics").text
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {"mentalllama_phase_seconds", "mentalllama_confidence"} <= families
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


def user(content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/analyze", {"text": POST, "explain": "maybe"}, 422, "invalid_request"),
        ("/analyze", {"text": POST, "model": "no-such-model"}, 422, "unknown_name"),
        ("/v1/chat/completions", {"messages": "hello"}, 400, "invalid_request"),
        ("/v1/chat/completions", {"messages": user("x"), "n": 0}, 400, "invalid_request"),
        ("/v1/chat/completions", {"messages": user("x"), "max_tokens": 0}, 400, "invalid_request"),
        (
            "/v1/chat/completions",
            {"messages": user("x"), "top_logprobs": 99},
            400,
            "invalid_request",
        ),
        ("/v1/chat/completions", {"messages": user("x " * 9000)}, 400, "text_too_long"),
        ("/v1/completions", {"prompt": ""}, 400, "invalid_request"),
        ("/v1/completions", {"prompt": [-1]}, 400, "invalid_request"),
        ("/v1/completions", {"prompt": [10**7]}, 400, "invalid_request"),
        ("/v1/completions", {"prompt": "x", "max_tokens": 10**6}, 400, "invalid_request"),
    ],
)
def test_a_wrong_request_is_refused(client, path, body, status, code):
    fields = {"model": MODEL, **body} if path.startswith("/v1/") else body
    assert_error(client.post(path, json=fields), status, code)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"text": "\xff"}', b"[" * 100_000, b"NaN", b"null"],
    ids=["empty", "cut", "not-utf-8", "deep", "nan", "null"],
)
def test_a_body_that_is_not_json_is_refused_by_vllms_routes(client, path, content):
    response = client.post(path, content=content, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert_error(response, response.status_code, "invalid_request")


def test_the_server_still_answers(client, analyze):
    """After all of the above, in whatever order it ran."""
    assert client.get("/readyz").status_code == 200
    assert len(analyze(explain="never")["results"][0]["answers"]) == len(QUESTIONS)
