"""Our routes keep to the OpenAPI document, whatever requests Schemathesis makes of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROBES = ("/tasks", "/livez", "/readyz", "/health")


@pytest.mark.slow
def test_every_answer_keeps_to_the_document() -> None:
    command = [sys.executable, "-m", "tests.service.api.conformance"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    # What sends nothing finds nothing.
    sent = set(re.findall(r"^sent: \d+ (.+)$", done.stdout, re.MULTILINE))
    for phase in ("examples", "coverage", "fuzzing"):
        assert {f"POST {path} {phase} 200" for path in ("/analyze", "/v1/decisions")} <= sent
    for phase in ("coverage", "fuzzing"):
        assert {f"POST /analyze {phase} 422", f"POST /v1/decisions {phase} 400"} <= sent
        assert {f"GET {path} {phase} 200" for path in PROBES} <= sent
