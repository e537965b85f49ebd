from __future__ import annotations

import pytest

from service.gate.control_headers import KEPT, is_control
from tests.service.gate.gates import CHAT, Seen, client_of


@pytest.mark.parametrize(
    "name",
    [
        "X-Vllm-Priority",
        "x-vllm-anything",
        "X-data-parallel-rank",
        "X-Session-ID",
        "endpoint-load-metrics-format",
    ],
)
@pytest.mark.parametrize(("path", "method"), [(CHAT, "POST"), ("/v1/models", "GET")])
async def test_headers_that_steer_the_engine_do_not_reach_it(name: str, path: str, method: str):
    app = Seen()
    async with client_of(app, key=None) as client:
        body = {} if method == "POST" else None
        response = await client.request(method, path, json=body, headers={name: "1", "x-a": "b"})
    assert response.status_code == 200
    assert name.lower() not in app.headers[0]
    assert app.headers[0]["x-a"] == "b"


@pytest.mark.parametrize("name", sorted(KEPT))
def test_the_others_do(name: str):
    assert not is_control(name.encode())
