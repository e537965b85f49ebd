"""The page at /: what it sends a browser, when it is there, and that the gate knows every file."""

from __future__ import annotations

from importlib.resources import files

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.api import attach
from service.gate.routes import PLAYGROUND
from service.settings import Settings

STATIC = files("service.api") / "static"


def client(**settings: object) -> TestClient:
    app = FastAPI()
    attach(app, Settings(**settings))  # type: ignore[arg-type]
    return TestClient(app)


def test_every_file_is_served_and_every_path_is_a_file() -> None:
    web = client()
    for path in PLAYGROUND:
        response = web.get(path)
        assert response.status_code == 200, path
        assert response.headers["x-content-type-options"] == "nosniff"
    names = {path.rpartition("/")[2] or "playground.html" for path in PLAYGROUND}
    assert names == {one.name for one in STATIC.iterdir()}
    assert web.get("/").headers["content-type"].startswith("text/html")
    assert web.get("/playground/main.js").headers["content-type"].startswith("text/javascript")


def test_nothing_comes_from_elsewhere_and_nothing_inline_runs() -> None:
    policy = client().get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_what_has_not_changed_is_not_sent_again() -> None:
    web = client()
    tag = web.get("/").headers["etag"]
    again = web.get("/", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/", "/playground/main.js"])
def test_a_deployment_can_do_without(path: str) -> None:
    response = client(playground=False).get(path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
