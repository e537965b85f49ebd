from __future__ import annotations

import pytest

from service.gate.routes import ROUTES
from service.gate.scopes import OPEN, PAGES, Scope, decided, scopes_of

# Said again by hand: a change of who may do what is seen in two places.
EXPECTED = {
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
