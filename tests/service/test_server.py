from __future__ import annotations

from argparse import Namespace

import pytest

from service.cli.exit_codes import ExitCode, exit_code
from service.errors import InvalidRequestError
from service.server import refuse_content_in_logs


@pytest.mark.parametrize(
    ("parsed", "environment", "named"),
    [
        ({"enable_log_requests": True}, {}, "--enable-log-requests"),
        ({"enable_log_outputs": True}, {}, "--enable-log-outputs"),
        ({}, {"VLLM_DEBUG_LOG_API_SERVER_RESPONSE": "True"}, "VLLM_DEBUG_LOG_API_SERVER_RESPONSE"),
    ],
)
def test_what_would_log_posts_is_refused_with_the_reason(parsed, environment, named) -> None:
    with pytest.raises(InvalidRequestError, match=named) as caught:
        refuse_content_in_logs(Namespace(**parsed), environment)
    assert "what people send" in caught.value.message
    assert exit_code(caught.value) is ExitCode.USAGE


def test_anything_else_passes() -> None:
    parsed = Namespace(enable_log_requests=False, max_log_len=5)
    refuse_content_in_logs(parsed, {"VLLM_LOGGING_LEVEL": "DEBUG"})
