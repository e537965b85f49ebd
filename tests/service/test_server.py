from __future__ import annotations

import resource
import subprocess
import sys
from argparse import Namespace

import pytest

from service import server
from service.cli.exit_codes import ExitCode, exit_code
from service.errors import InvalidRequestError
from service.server import refuse_content_in_logs

_LIMITS_OF_A_CHILD = """
import subprocess, sys
from service.server import leave_no_memory_behind
leave_no_memory_behind()
asked = "import resource; print(*resource.getrlimit(resource.RLIMIT_CORE))"
subprocess.run([sys.executable, "-c", asked], check=True)
"""


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


def test_a_crash_of_any_process_writes_no_memory_down() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_CORE)

    def allow_dumps() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))

    done = subprocess.run(
        [sys.executable, "-c", _LIMITS_OF_A_CHILD],
        preexec_fn=allow_dumps,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["0", "0"]


def test_the_server_sees_to_that_before_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    class FirstError(Exception):
        pass

    def first() -> None:
        raise FirstError

    monkeypatch.setattr(server, "leave_no_memory_behind", first)
    with pytest.raises(FirstError):
        server.main([])
