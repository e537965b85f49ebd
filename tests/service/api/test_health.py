from __future__ import annotations

import pytest
from fastapi import FastAPI

from service.api import attach
from service.lifecycle import ENDING, FAILED, Phase, lifecycle_of
from service.settings import Settings
from tests.service.api.fakes import FakeAnalyzer, client_of, make_app


async def dead() -> None:
    raise RuntimeError("a secret of the engine")


@pytest.mark.parametrize("phase", list(Phase))
async def test_phases(phase: Phase):
    app = make_app(FakeAnalyzer() if phase in ENDING | {Phase.READY} else None)
    lifecycle_of(app).move(phase)
    live = 503 if phase in FAILED else 200
    ready = 200 if phase is Phase.READY else 503
    async with client_of(app) as client:
        for path, status in (("/livez", live), ("/readyz", ready), ("/health", ready)):
            response = await client.get(path)
            assert response.status_code == status
            assert response.json() == {"status": phase}
            assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("phase", sorted(ENDING))
async def test_no_text_is_taken_while_the_service_ends(phase: Phase):
    app = make_app(FakeAnalyzer())
    lifecycle_of(app).move(phase)
    async with client_of(app) as client:
        response = await client.post("/analyze", json={"text": "a"})
        looked = await client.get("/tasks")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.headers["connection"] == "close"
    assert response.json()["error"]["code"] == "not_ready"
    assert phase in response.json()["error"]["message"]
    assert looked.status_code == 200


async def test_vllms_own_health_route_is_replaced():
    app = FastAPI()

    @app.get("/health")
    def lies() -> None:
        """Says 200 whatever happens."""

    attach(app, Settings())
    async with client_of(app) as client:
        response = await client.get("/health")
    assert response.status_code == 503
    assert response.json() == {"status": "starting"}


async def test_a_dead_engine_is_neither(caplog):
    app = make_app(FakeAnalyzer())
    app.state.mentalllama.check_engine = dead
    async with client_of(app) as client:
        for path in ("/livez", "/readyz", "/health"):
            response = await client.get(path)
            assert response.status_code == 503
            assert response.json() == {"status": "dead"}
    assert "secret" not in caplog.text
    assert "RuntimeError" in caplog.text
