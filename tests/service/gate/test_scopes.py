from __future__ import annotations

from service.gate.routes import PLAYGROUND, ROUTES
from service.gate.scopes import Scope, decided, scopes_of

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


def test_every_route_of_the_allowlist_is_decided():
    assert EXPECTED.keys() == ROUTES.keys()
    for path, expected in EXPECTED.items():
        assert decided(path)
        needed = {scope.value for scope in scopes_of(path)}
        assert needed == (expected | {"admin"} if expected else set()), path


def test_a_route_that_nobody_decided_is_the_admins():
    assert not decided("/new")
    assert scopes_of("/new") == {Scope.ADMIN}
