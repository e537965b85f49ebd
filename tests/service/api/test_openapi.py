from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from service.api import attach
from service.api.openapi import build_document, main
from service.api.schemas import AnalyzeResponse, ErrorResponse
from service.gate.refusals import ERRORS
from service.gate.routes import PLAYGROUND, ROUTES
from tests.service.api.fakes import FakeAnalyzer, client_of, events_of, make_app

ASSETS = {
    *PLAYGROUND,
    "/docs",
    "/openapi.json",
    "/static/swagger-ui-bundle.js",
    "/static/swagger-ui.css",
}
DOCUMENT = build_document()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_committed_document_is_up_to_date():
    assert main(["--check"]) == 0


def test_check_says_what_to_do(tmp_path: Path, capsys):
    stale = tmp_path / "openapi.json"
    assert main(["--check", str(stale)]) == 1
    stale.write_text("{}")
    assert main(["--check", str(stale)]) == 1
    assert "make openapi" in capsys.readouterr().err
    assert main([str(stale)]) == 0
    assert main(["--check", str(stale)]) == 0


def test_it_holds_every_exposed_route_and_no_other():
    documented = {path: method.upper() for path, method, _ in operations()}
    assert documented == {path: how for path, how in ROUTES.items() if path not in ASSETS}


def test_examples_of_errors_have_the_form_of_errors():
    for path, _, operation in operations():
        for status, response in operation["responses"].items():
            if int(status) >= 400 and path not in {"/livez", "/readyz", "/health"}:
                for example in response["content"]["application/json"]["examples"].values():
                    ErrorResponse.model_validate(example["value"])


def test_every_error_is_in_the_table():
    for error in ERRORS:
        assert f"| `{error.code}` | {error.status}" in DOCUMENT["info"]["description"]


def analyze_operation() -> dict[str, Any]:
    operation: dict[str, Any] = DOCUMENT["paths"]["/analyze"]["post"]
    return operation


async def test_example_requests_are_answered():
    examples = analyze_operation()["requestBody"]["content"]["application/json"]["examples"]
    async with client_of(make_app(FakeAnalyzer())) as client:
        for name, example in examples.items():
            response = await client.post("/analyze", json=example["value"])
            assert response.status_code == 200, name


def test_example_responses_have_the_form_of_responses():
    content = analyze_operation()["responses"]["200"]["content"]
    AnalyzeResponse.model_validate_json(json.dumps(content["application/json"]["example"]))
    events = events_of(content["text/event-stream"]["example"])
    assert [name for name, _ in events] == ["label", "explanation", "result"]
    AnalyzeResponse.model_validate_json(events[-1][1])


async def test_the_app_serves_it():
    async with client_of(make_app()) as client:
        assert (await client.get("/openapi.json")).json() == DOCUMENT


async def test_the_documentation_page_loads_nothing_from_another_host():
    async with client_of(make_app()) as client:
        response = await client.get("/docs")
    assert response.status_code == 200
    links = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)""", response.text)
    assert {"openapi.json", "static/swagger-ui-bundle.js", "static/swagger-ui.css"} <= set(links)
    assert not re.search(r"https?:|//\w", response.text)
    assert "default-src 'self'" in response.headers["content-security-policy"]


async def test_where_the_docs_are_off_they_stay_off():
    app = FastAPI(openapi_url=None, docs_url=None)
    attach(app)
    async with client_of(app) as client:
        assert (await client.get("/docs")).status_code == 404
