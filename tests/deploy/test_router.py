"""The router's configuration in a real HAProxy, Debian's, before replicas that note what they get.

The replicas stand at fixed addresses; the discovery by the cluster's DNS is not tried here.
"""

from __future__ import annotations

import contextlib
import http.server
import re
import shutil
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from imhi.tasks import QUESTIONS
from service.api.schemas import ErrorResponse
from tests.deploy.chart import render
from tests.e2e.posts import POST
from tests.e2e.scrape import eventually

pytestmark = pytest.mark.xdist_group("helm")


@dataclass
class Replica:
    """A server in a replica's place."""

    port: int = 0
    ready: bool = True
    got: list[str] = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def answering(replica: Replica) -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200 if replica.ready else 503)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            replica.got.append(self.path)
            self._answer(200)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.send_header("x-replica", str(replica.port))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        replica.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield
        server.shutdown()


def configuration(replicas: list[Replica], port: int, state: int) -> str:
    """What the chart renders, with the replicas' addresses in the place of the cluster's DNS."""
    (map_,) = [
        one
        for one in render()
        if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "demo-router"
    ]
    text: str = map_["data"]["haproxy.cfg"]
    servers = "\n".join(
        f"    server replica{number} 127.0.0.1:{replica.port} check inter 100 fall 2 rise 1"
        for number, replica in enumerate(replicas, 1)
    )
    text, found = re.subn(r"^    server-template .*$", servers, text, flags=re.MULTILINE)
    assert found == 2
    return text.replace("bind :8080", f"bind 127.0.0.1:{port}").replace(
        "bind :8405", f"bind 127.0.0.1:{state}"
    )


@dataclass
class Router:
    """A running router."""

    client: httpx.Client
    state: httpx.Client
    replicas: list[Replica]
    log: Path

    def ask(self, path: str, body: dict[str, Any]) -> str:
        """Which replica answered."""
        response = self.client.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.headers["x-replica"]


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("haproxy is not installed; on Debian: apt-get install haproxy")
    replicas = [Replica(), Replica(), Replica()]
    port, state = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        for replica in replicas:
            stack.enter_context(answering(replica))
        file, log = tmp_path / "haproxy.cfg", tmp_path / "log"
        file.write_text(configuration(replicas, port, state))
        checked = subprocess.run([program, "-c", "-f", file], capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr.decode()
        process = subprocess.Popen(
            [program, "-db", "-f", file], stdout=log.open("wb"), stderr=subprocess.STDOUT
        )
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10))
        watcher = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{state}"))

        def up() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return watcher.get("/readyz").status_code == 200
            return False

        assert eventually(up, 10), log.read_text()
        yield Router(client, watcher, replicas, log)


def prompt(post: str, question: str) -> str:
    return f'Consider this post: "{post}" Question: {question}'


def posts(number: int) -> list[str]:
    return [f"Number {one}. {POST}" for one in range(number)]


def chat(*contents: str) -> dict[str, Any]:
    roles = ("system", "user") if len(contents) == 2 else ("user",)
    return {
        "messages": [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)],
        "model": "m",
    }


def test_all_questions_on_a_post_go_to_one_replica(router: Router) -> None:
    chosen = []
    for post in posts(12):
        texts = [prompt(post, question.text) for question in QUESTIONS.values()]
        places = {router.ask("/v1/completions", {"prompt": text}) for text in texts}
        assert len(places) == 1
        chosen += places
        talk = {router.ask("/v1/chat/completions", chat(text)) for text in texts}
        assert talk == places, "a chat about it too"
        told = {router.ask("/v1/chat/completions", chat("Answer briefly.", t)) for t in texts}
        assert told == places, "whatever the system's message says"
    assert len(set(chosen)) > 1, "posts are spread"


def test_whole_posts_go_to_the_least_busy(router: Router) -> None:
    counted = Counter(router.ask("/analyze", {"text": POST}) for _ in range(30))
    assert set(counted.values()) == {10}


def test_a_replica_that_is_not_ready_gets_nothing_and_only_its_posts_move(router: Router) -> None:
    texts = [prompt(post, "Is it so?") for post in posts(30)]
    before = [router.ask("/v1/completions", {"prompt": text}) for text in texts]
    gone = router.replicas[0]
    gone.ready = False
    total = len(gone.got)

    def moved() -> bool:
        after = {router.ask("/v1/completions", {"prompt": text}) for text in texts}
        return str(gone.port) not in after

    assert eventually(moved, 10)
    after = [router.ask("/v1/completions", {"prompt": text}) for text in texts]
    stayed = [b == a for b, a in zip(before, after, strict=True) if b != str(gone.port)]
    assert all(stayed)
    assert len(gone.got) >= total
    settled = len(gone.got)
    router.ask("/analyze", {"text": POST})
    assert len(gone.got) == settled


def test_without_a_replica_the_answer_is_the_services_own(router: Router) -> None:
    for replica in router.replicas:
        replica.ready = False
    assert eventually(lambda: router.state.get("/readyz").status_code == 503, 10)
    response = router.client.post(
        "/analyze", json={"text": POST}, headers={"x-request-id": "mine-1"}
    )
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.json()["error"]["code"] == "not_ready"
    error = ErrorResponse.model_validate(response.json()).error
    assert error.request_id == response.headers["x-request-id"] == "mine-1"


def test_what_it_cannot_read_is_passed_on_all_the_same(router: Router) -> None:
    larger = {"prompt": "x" * 400_000}  # than what is looked into
    for body in (larger, {"prompt": [1, 2, 3]}, {"messages": "none"}, {"prompt": None}, {}):
        for path in ("/v1/completions", "/v1/chat/completions", "/analyze"):
            assert router.ask(path, body)


def test_nothing_of_a_post_is_logged(router: Router) -> None:
    router.ask("/v1/completions", {"prompt": prompt("canary-post-5521", "Is it so?")})
    router.ask("/v1/chat/completions", chat(prompt("canary-post-5521", "Is it so?")))
    router.ask("/analyze", {"text": "canary-post-5521"})
    router.client.post("/analyze", json={}, headers={"x-request-id": "canary: no id, a text"})
    router.client.post("/analyze", json={}, headers={"x-request-id": "last-one"})
    assert eventually(lambda: "last-one" in router.log.read_text(), 5)
    assert "canary" not in router.log.read_text()
    assert "canary" not in router.state.get("/metrics").text
