from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.gate.routes import PLAYGROUND, ROUTES
from service.gate.scopes import OPEN, PAGES, Scope, decided, scopes_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "keys-and-limits.md"

# Said again by hand: a change of who may do what is seen in two places.
EXPECTED = {
    **{path: {"analyze", "openai"} for path in PLAYGROUND},
    "/analyze": {"analyze"},
    "/tasks": {"analyze"},
    "/livez": set(),
    "/readyz": set(),
    "/metrics": {"metrics"},
    "/health": {"metrics"},
    "/docs": {"analyze", "openai"},
    "/static/swagger-ui-bundle.js": {"analyze", "openai"},
    "/static/swagger-ui.css": {"analyze", "openai"},
    "/openapi.json": {"analyze", "openai"},
    "/v1/models": {"analyze", "openai"},
    "/v1/chat/completions": {"openai"},
    "/v1/completions": {"openai"},
    "/v1/decisions": {"openai"},
}


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_of_the_allowlist_is_decided(path: str):
    assert decided(path)
    needed = {scope.value for scope in scopes_of(path)}
    assert needed == (EXPECTED[path] | {"admin"} if EXPECTED[path] else set())


def test_the_table_names_nothing_that_is_not_a_route():
    assert ROUTES.keys() >= OPEN | PAGES
    assert EXPECTED.keys() == ROUTES.keys()


def test_a_route_that_nobody_decided_is_the_admins():
    assert not decided("/new")
    assert scopes_of("/new") == {Scope.ADMIN}


def test_the_page_says_which_scope_opens_what():
    rows = re.findall(r"^\| (`?\w+`?) \| (.*`(?:GET|POST) /.*) \|$", PAGE.read_text(), re.MULTILINE)
    told: dict[str, set[str]] = {}
    for scope, routes in rows:
        for method, path in re.findall(r"`(GET|POST) ([^`]+)`", routes):
            assert ROUTES[path] == method
            told.setdefault(path, set()).update({scope.strip("`")} - {"none"})
    assert told == {path: scopes for path, scopes in EXPECTED.items() if path not in PAGES}
