from __future__ import annotations

import pytest

from service.gate.control_headers import KEPT, is_control
from tests.service.gate.gates import CHAT, Seen, client_of

STEERING = (
    *("X-Vllm-Priority", "x-vllm-anything", "X-data-parallel-rank", "X-Session-ID"),
    "endpoint-load-metrics-format",
)


@pytest.mark.parametrize(("path", "method"), [(CHAT, "POST"), ("/v1/models", "GET")])
async def test_headers_that_steer_the_engine_do_not_reach_it(path: str, method: str):
    app = Seen()
    async with client_of(app, key=None) as client:
        body = {} if method == "POST" else None
        headers = dict.fromkeys(STEERING, "1") | {"x-a": "b"}
        response = await client.request(method, path, json=body, headers=headers)
    assert response.status_code == 200
    (seen,) = app.headers
    assert not seen.keys() & {name.lower() for name in STEERING}
    assert seen["x-a"] == "b"
    assert not any(is_control(name.encode()) for name in KEPT)
