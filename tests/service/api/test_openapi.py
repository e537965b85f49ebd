from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from imhi.tasks import QUESTIONS, TASKS
from service.api import attach
from service.api.openapi import DEFAULT_PATH, build_document, main
from service.api.schemas import AnalyzeRequest, AnalyzeResponse, ErrorResponse
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


def test_it_is_a_command():
    command = [sys.executable, "-W", "error", "-m", "service.api.openapi", "--check"]
    done = subprocess.run(
        command, cwd=DEFAULT_PATH.parent.parent, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_holds_every_exposed_route_and_no_other():
    documented = {path: method.upper() for path, method, _ in operations()}
    assert documented == {path: how for path, how in ROUTES.items() if path not in ASSETS}


@pytest.mark.parametrize(("path", "method", "operation"), list(operations()))
def test_every_operation_is_complete(path: str, method: str, operation: dict[str, Any]):
    for field in ("summary", "description", "operationId", "tags", "responses"):
        assert operation[field], field
    if method == "post":
        content = operation["requestBody"]["content"]["application/json"]
        assert "example" in content or "examples" in content
    for status, response in operation["responses"].items():
        assert response["description"]
        assert "X-Request-Id" in response["headers"]
        for body in response["content"].values():
            assert "example" in body or body["examples"]
        if int(status) >= 400 and operation["operationId"] not in {"livez", "readyz", "health"}:
            for example in response["content"]["application/json"]["examples"].values():
                ErrorResponse.model_validate(example["value"])


def test_every_reference_resolves():
    text = json.dumps(DOCUMENT)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        found: Any = DOCUMENT
        for part in reference.split("/"):
            found = found[part]
        assert found


def test_every_field_has_a_description_and_scalars_an_example():
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, described in schema.get("properties", {}).items():
            if "$ref" in described:
                continue
            assert described.get("description"), f"{name}.{field}"
            if described.get("type") != "array" and "$ref" not in json.dumps(described):
                assert "examples" in described, f"{name}.{field}"


def test_closed_sets_of_names_are_listed():
    properties = DOCUMENT["components"]["schemas"]["AnalyzeRequest"]["properties"]
    assert properties["tasks"]["anyOf"][0]["items"]["enum"] == list(TASKS)
    assert properties["questions"]["anyOf"][0]["items"]["enum"] == list(QUESTIONS)
    assert properties["thresholds"]["propertyNames"]["enum"] == list(QUESTIONS)


def test_headers_that_always_come_are_required():
    assert DOCUMENT["components"]["headers"]["X-Request-Id"]["required"]
    found = [
        response["headers"]["Retry-After"]["required"]
        for _, _, operation in operations()
        for response in operation["responses"].values()
        if "Retry-After" in response["headers"]
    ]
    assert found
    assert all(found)


def test_every_error_is_in_the_table():
    for error in ERRORS:
        assert f"| `{error.code}` | {error.status}" in DOCUMENT["info"]["description"]


def test_operation_ids_are_unique():
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))


def analyze_operation() -> dict[str, Any]:
    operation: dict[str, Any] = DOCUMENT["paths"]["/analyze"]["post"]
    return operation


@pytest.mark.parametrize(
    "name", analyze_operation()["requestBody"]["content"]["application/json"]["examples"]
)
async def test_example_requests_are_answered(name: str):
    examples = analyze_operation()["requestBody"]["content"]["application/json"]["examples"]
    body = examples[name]["value"]
    AnalyzeRequest.model_validate_json(json.dumps(body))
    async with client_of(make_app(FakeAnalyzer())) as client:
        assert (await client.post("/analyze", json=body)).status_code == 200


def test_example_responses_have_the_form_of_responses():
    content = analyze_operation()["responses"]["200"]["content"]
    AnalyzeResponse.model_validate_json(json.dumps(content["application/json"]["example"]))
    events = events_of(content["text/event-stream"]["example"])
    assert [name for name, _ in events] == ["label", "explanation", "result"]
    AnalyzeResponse.model_validate_json(events[-1][1])


def test_quotes_in_the_examples_stand_in_their_text():
    content = analyze_operation()
    text = content["requestBody"]["content"]["application/json"]["examples"]["all tasks"]["value"][
        "text"
    ]
    response = content["responses"]["200"]["content"]["application/json"]["example"]
    [found] = response["results"][0]["answers"][0]["evidence"]
    assert text[found["start"] : found["end"]] == found["quote"]


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
