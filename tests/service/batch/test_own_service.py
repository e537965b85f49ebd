"""A service for the length of a run: ready before it is used, gone afterwards, its faults told."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import httpx
import pytest

from service.batch import own_service as module
from service.batch.own_service import own_service
from service.errors import ModelError
from service.models import ResolvedModel

MODEL = ResolvedModel("directory", "name", embedded=False)
SERVER = """
import http.server, json, os, socketserver, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = [name for name in os.environ if "KEY" in name]
        content = json.dumps([self.path, names, os.getpid(), sys.argv[1]]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self):
        return "here"

socketserver.UnixStreamServer(sys.argv[-1], Handler).serve_forever()
"""


@pytest.fixture
def program(monkeypatch):
    """Has another program take the place of the server."""

    def put(code: str) -> None:
        def server_command(model: ResolvedModel, options: list[str]):
            assert model is MODEL
            assert options[-2] == "--uds"
            return [sys.executable, "-c", code, *options], dict(os.environ)

        monkeypatch.setattr(module, "server_command", server_command)

    return put


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_answers_on_a_socket_of_ones_own_and_is_gone_afterwards(program, monkeypatch) -> None:
    for name in ("MENTALLLAMA_KEYS", "MENTALLLAMA_KEYS_FILE", "VLLM_API_KEY"):
        monkeypatch.setenv(name, "x")
    program(SERVER)
    with own_service(MODEL, ["--option"]) as socket:
        assert socket.parent.stat().st_mode & 0o077 == 0
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
            path, keys, process, first = client.get("http://service/anything").json()
        assert (path, first, alive(process)) == ("/anything", "--option", True)
        assert not [name for name in keys if name.startswith(("MENTALLLAMA_", "VLLM_"))]
    assert not alive(process)
    assert not socket.parent.exists()


def test_a_run_that_fails_stops_it_too(program) -> None:
    program(SERVER)
    processes = []

    def fail(socket: Path) -> None:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
            processes.append(json.loads(client.get("http://service/").content)[2])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), own_service(MODEL, []) as socket:
        fail(socket)
    assert not alive(processes[0])


def test_one_that_does_not_start_says_how_it_ended(program) -> None:
    program("import sys; print('Not enough memory.'); sys.exit(3)")
    said = pytest.raises(ModelError, match=r"exit code 3.*\n.*Not enough memory")
    with said, own_service(MODEL, []):
        pytest.fail("it was never ready")
