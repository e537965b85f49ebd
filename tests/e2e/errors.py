"""What every error of the service must look like."""

from __future__ import annotations

import httpx

from service.api.schemas import Error, ErrorResponse
from service.gate.refusals import ERRORS

CODES = {error.code for error in ERRORS}


def assert_error(response: httpx.Response, status: int, code: str) -> Error:
    """Check an error's status, code and form, and return it."""
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    assert response.headers["content-type"] == "application/json"
    error = ErrorResponse.model_validate_json(response.content).error
    assert error.code == code
    assert error.code in CODES
    assert error.message
    assert error.type == ("server_error" if status >= 500 else "invalid_request_error")
    assert error.request_id == response.headers["x-request-id"]
    return error
