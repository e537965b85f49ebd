"""What the end-to-end tests share: a client of the one running server, and the usual request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.posts import POST
from tests.servers import RunningServer


@pytest.fixture(scope="session")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    """An HTTP client of the running server."""
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def analyze(client: httpx.Client) -> Callable[..., dict[str, Any]]:
    """Sends fields to POST /analyze and returns the response; short explanations by default."""

    def send(text: str | None = POST, **fields: object) -> dict[str, Any]:
        fields.setdefault("explanation_tokens", 8)
        if text is not None:
            fields["text"] = text
        response = client.post("/analyze", json=fields)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    return send
