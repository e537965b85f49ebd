"""The page at /: what it sends a browser, when it is there, and that the gate knows every file."""

from __future__ import annotations

import re
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
    for one in STATIC.iterdir():
        text = one.read_text(encoding="utf-8")
        assert not re.search(r"""(?:src|href|from|url\()\s*=?\s*["'(]?\s*(?:https?:)?//""", text), (
            one
        )
        assert "innerHTML" not in text
        assert "localStorage" not in text
        assert "sessionStorage" not in text
    page = (STATIC / "playground.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", page)


def test_every_module_that_is_imported_is_there() -> None:
    for one in STATIC.iterdir():
        for name in re.findall(r'from "\./([\w.]+)"', one.read_text(encoding="utf-8")):
            assert f"/playground/{name}" in PLAYGROUND


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


def test_the_notice_stands_on_the_page() -> None:
    text = (STATIC / "playground.html").read_text(encoding="utf-8")
    assert "not a diagnosis" in text
