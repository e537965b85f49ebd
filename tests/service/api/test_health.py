from __future__ import annotations

import pytest

from service.api.state import Phase
from tests.service.api.fakes import FakeAnalyzer, client_of, make_app


async def dead() -> None:
    raise RuntimeError("a secret of the engine")


@pytest.mark.parametrize(
    ("phase", "live", "ready"),
    [(Phase.STARTING, 200, 503), (Phase.READY, 200, 200), (Phase.STOPPING, 200, 503)],
)
async def test_phases(phase: Phase, live: int, ready: int):
    app = make_app(FakeAnalyzer())
    app.state.mentalllama.phase = phase
    async with client_of(app) as client:
        for path, status in (("/livez", live), ("/readyz", ready)):
            response = await client.get(path)
            assert response.status_code == status
            assert response.json() == {"status": phase}


async def test_no_text_is_taken_while_the_service_stops():
    app = make_app(FakeAnalyzer())
    app.state.mentalllama.phase = Phase.STOPPING
    async with client_of(app) as client:
        response = await client.post("/analyze", json={"text": "a"})
    assert response.status_code == 503
    assert "stopping" in response.json()["error"]["message"]


async def test_before_there_is_an_engine_it_lives_and_is_not_ready():
    async with client_of(make_app()) as client:
        live, ready = await client.get("/livez"), await client.get("/readyz")
    assert (live.status_code, ready.status_code) == (200, 503)
    assert live.json() == ready.json() == {"status": "starting"}


async def test_a_dead_engine_is_neither(caplog):
    app = make_app(FakeAnalyzer())
    app.state.mentalllama.check_engine = dead
    async with client_of(app) as client:
        for path in ("/livez", "/readyz"):
            response = await client.get(path)
            assert response.status_code == 503
            assert response.json() == {"status": "dead"}
    assert "secret" not in caplog.text
    assert "RuntimeError" in caplog.text
