from __future__ import annotations

import pytest

from service.gate import Gate
from service.gate.caller import ANONYMOUS
from service.gate.routes import ROUTES
from service.gate.scopes import PAGES, Scope, scopes_of
from service.settings import Settings
from tests.service.gate.gates import KEY, Seen, call, client_of, key_entry, key_file, refusal

PROTECTED = [path for path in ROUTES if path not in ("/livez", "/readyz")]


def keyed(**fields: object) -> Settings:
    return Settings(keys=key_file(key_entry(**fields)))


async def test_no_route_but_the_probes_answers_without_a_key():
    app = Seen()
    async with client_of(app, keyed(), key=None) as client:
        for path in PROTECTED:
            response = await client.request(ROUTES[path], path)
            assert refusal(response) == (401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"
        assert app.bodies == []
        for path in ("/livez", "/readyz"):
            assert (await client.get(path)).status_code == 200
    assert app.callers == [ANONYMOUS] * 2


async def test_pages_can_be_opened():
    settings = Settings(keys=key_file(key_entry()), public_pages=True)
    async with client_of(Seen(), settings, key=None) as client:
        for path in PAGES:
            assert (await client.get(path)).status_code == 200
        assert (await client.post("/analyze", json={})).status_code == 401


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_key_opens_the_routes_of_its_scopes(scope: Scope):
    app = Seen()
    async with client_of(app, keyed(scopes=[scope])) as client:
        for path in PROTECTED:
            app.callers.clear()
            response = await client.request(ROUTES[path], path, json={})
            if scope in scopes_of(path):
                assert response.status_code == 200
                assert app.callers[0].name == "web"
            else:
                assert refusal(response) == (403, "forbidden")
                assert app.callers == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        KEY,
        "Bearer",
        "Bearer ",
        f"Basic {KEY}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY} {KEY}",
        "Bearer \xe9",
        f"Bearer {'x' * 2000}",
    ],
)
async def test_anything_but_the_key_is_refused(value: str):
    async with client_of(Seen(), keyed(), key=None) as client:
        headers = {"authorization": value.encode("latin-1")}
        response = await client.get("/tasks", headers=headers)
    assert refusal(response) == (401, "unauthorized")
    assert KEY[:10] not in response.text


async def test_two_keys_are_none():
    async with client_of(Seen(), keyed()) as client:
        headers = [("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {KEY}")]
        request = client.build_request("GET", "http://service/tasks", headers=headers)
        assert refusal(await client.send(request)) == (401, "unauthorized")


async def test_the_schemes_name_is_in_any_case():
    async with client_of(Seen(), keyed(), key=None) as client:
        response = await client.get("/tasks", headers={"authorization": f"bearer {KEY}"})
    assert response.status_code == 200


async def test_an_expired_key_says_so():
    async with client_of(Seen(), keyed(expires="2001-01-01T00:00:00Z")) as client:
        response = await client.get("/tasks")
    assert refusal(response) == (401, "key_expired")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_preflight_carries_no_key_and_learns_nothing():
    app = Seen()
    preflight = {"origin": "http://page", "access-control-request-method": "GET"}
    async with client_of(app, keyed(), key=None) as client:
        for path in ROUTES:
            response = await client.options(path, headers=preflight)
            assert (response.status_code, response.content) == (200, b"")
            assert (await client.options(path)).content == b""
    assert len(app.bodies) == len(ROUTES)


async def test_an_unknown_path_is_not_found_with_or_without_a_key():
    for key in (None, KEY):
        async with client_of(Seen(), keyed(), key=key) as client:
            assert refusal(await client.get("/version")) == (404, "not_found")


async def test_a_refused_body_is_not_read():
    (start, _) = await call(Gate(Seen(), keyed()), None)
    assert start["status"] == 401


async def test_behind_a_prefix_the_same_holds():
    headers = [(b"authorization", f"Bearer {KEY}".encode())]
    (start, _) = await call(
        Gate(Seen(), keyed(scopes=["analyze"])),
        path="/proxy/metrics",
        method="GET",
        headers=headers,
        root_path="/proxy",
    )
    assert start["status"] == 403
