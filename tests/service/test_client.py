"""The HTTP client against a small real server that answers well, badly, late or not at all."""

from __future__ import annotations

import socket

import pytest

from service.client import RefusedError, UnreachableError, analyze_over_http
from service.errors import (
    EngineError,
    InvalidRequestError,
    OverloadedError,
    ServiceError,
    TextTooLongError,
)
from tests.service.stub import Stub

CANARY = "quiet evenings by the canal"
REQUEST = {"text": f"A post about {CANARY}, naïve 😀", "tasks": ["stress"]}
ANSWER = {"id": "1", "model": "m", "results": []}


@pytest.fixture
def server():
    stub = Stub()
    stub.response = ANSWER
    with stub.running():
        yield stub


def refuse(server: Stub, status: int, **error: object) -> None:
    server.status, server.response = status, {"error": error}


@pytest.fixture
def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def failure(url: str, timeout: float = 10.0, request: dict[str, object] = REQUEST) -> ServiceError:
    with pytest.raises(ServiceError) as raised:
        analyze_over_http(url, request, timeout)
    assert CANARY not in raised.value.message
    assert CANARY not in str(raised.value)
    return raised.value


@pytest.mark.parametrize("suffix", ["", "/", "/analyze", "/analyze/"])
def test_sends_the_request_and_returns_the_response(server, suffix):
    assert analyze_over_http(server.url + suffix, REQUEST, 10) == ANSWER
    assert server.last.path == "/analyze"
    assert server.last.body == REQUEST


@pytest.mark.parametrize(("key", "sent"), [("k-1", "Bearer k-1"), ("", None), (None, None)])
def test_a_key_goes_where_the_service_asks_for_it(server, key, sent):
    analyze_over_http(server.url, REQUEST, 10, key)
    assert server.last.headers.get("authorization") == sent


@pytest.mark.parametrize("key", ["schlüssel", "a\nb"])
def test_a_key_that_is_none_is_told_of_without_it(server, key):
    with pytest.raises(InvalidRequestError, match="MENTALLLAMA_API_KEY") as caught:
        analyze_over_http(server.url, REQUEST, 10, key)
    assert key not in caught.value.message


def test_a_proxy_of_the_environment_sees_nothing_local(server, monkeypatch, closed_port):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert analyze_over_http(server.url, REQUEST, 10) == ANSWER


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://localhost",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
        "http://host?x=1",
        "http://host/#part",
        "http://host/\x00",
        "",
    ],
)
def test_a_url_that_is_none(url):
    error = failure(url)
    assert isinstance(error, InvalidRequestError)
    assert error.param == "url"
    assert "http://localhost:8000" in error.message


@pytest.mark.parametrize("text", [f"{CANARY}\ud800", float("nan")])
def test_what_cannot_be_sent(server, text):
    assert isinstance(failure(server.url, request={"text": text}), InvalidRequestError)
    assert server.requests == []


def test_nothing_listens(closed_port):
    error = failure(f"http://127.0.0.1:{closed_port}")
    assert isinstance(error, UnreachableError)
    assert f"http://127.0.0.1:{closed_port}" in error.message
    assert "mentalllama serve" in error.message


def test_a_password_in_the_url_is_not_shown(closed_port):
    error = failure(f"http://someone:secret@127.0.0.1:{closed_port}")
    assert "secret" not in error.message
    assert "someone" not in error.message


def test_an_answer_that_comes_too_late(server):
    server.delay = 0.5
    error = failure(server.url, timeout=0.1)
    assert isinstance(error, UnreachableError)
    assert "0.1 seconds" in error.message


def test_a_connection_that_breaks(server):
    server.status = None
    error = failure(server.url)
    assert isinstance(error, UnreachableError)
    assert "try again" in error.message


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (422, InvalidRequestError, "invalid_request"),
        (422, TextTooLongError, "text_too_long"),
        (503, OverloadedError, "overloaded"),
        (502, EngineError, "engine_error"),
        (500, ServiceError, "internal_error"),
    ],
)
def test_an_error_of_the_service_keeps_its_class(server, status, kind, code):
    refuse(server, status, code=code, message="Do this.", param="tasks", type="whatever")
    error = failure(server.url)
    assert type(error) is kind
    assert (error.code, error.message, error.param) == (code, "Do this.", "tasks")


def test_an_unknown_error_is_shown_with_its_status(server):
    refuse(server, 429, code="slow_down", message="Wait a minute.", param=None)
    error = failure(server.url)
    assert type(error) is RefusedError
    assert "429" in error.message
    assert "Wait a minute." in error.message


@pytest.mark.parametrize(
    "error",
    [{}, {"code": 400, "message": CANARY}, {"code": "invalid_request", "message": [CANARY]}],
)
def test_an_error_in_another_form_is_not_repeated(server, error):
    refuse(server, 400, **error)
    refused = failure(server.url)
    assert type(refused) is RefusedError
    assert "400" in refused.message


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b"<html>Welcome</html>"),
        (200, b"[]"),
        (200, b'{"hello": "world"}'),
        (200, b'{"results": 3}'),
        (200, b'{"error": {"code": "internal_error", "message": "odd"}}'),
        (200, b"\xff\xfe\x00"),
        (404, CANARY.encode()),
        (404, b'{"detail": "Not Found"}'),
        (500, b'{"results": []}'),
        (505, b""),
        (307, b""),
    ],
)
def test_something_else_answers(server, status, content):
    server.status, server.response = status, content
    server.headers["Location"] = "http://127.0.0.1:1/elsewhere"
    error = failure(server.url)
    assert type(error) is RefusedError
    assert str(status) in error.message
    assert "is the URL right?" in error.message


@pytest.mark.parametrize("after", ["3", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", ""])
def test_a_proxy_without_a_service(server, after):
    server.status, server.response = 503, b"<html>no healthy upstream</html>"
    server.headers["Retry-After"] = after
    error = failure(server.url)
    assert isinstance(error, UnreachableError)
    assert error.retry_after == {"3": 3, "soon": None, "": None}.get(after, 0)


def test_an_answer_that_cannot_be_unpacked(server):
    server.headers["Content-Encoding"] = "gzip"
    assert isinstance(failure(server.url), UnreachableError)
