"""An OpenAI-compatible endpoint that answers as it is told, misbehaviour included."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

Body = dict[str, Any]


@dataclass(frozen=True)
class Act:
    """What the endpoint does with a request.

    Attributes:
        text: of the completion.
        status: of the response; other than 200 there is no completion.
        headers: besides the usual.
        finish_reason: of the completion.
        refusal: the model's refusal.
        seconds: to wait before.
        raw: the whole body, in place of a completion.
        promised: the length that the header gives, in place of the true one.
    """

    text: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    refusal: str | None = None
    seconds: float = 0.0
    raw: bytes | None = None
    promised: int | None = None


@dataclass
class Served:
    """A running endpoint.

    Attributes:
        url: to give as `base_url`.
        bodies: of all requests, in the order in which they came.
        times: when they came.
        keys: what they gave as their key.
        most: the most that were open at once.
    """

    url: str = ""
    bodies: list[Body] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    most: int = 0
    open: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def endpoint(act: Callable[[int, Body], Act]) -> Iterator[Served]:
    """Serve `act`, which is given the number of the request, from 0, and its body."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with served.lock:
                number = len(served.bodies)
                served.bodies.append(body)
                served.times.append(time.monotonic())
                served.keys.append(self.headers.get("authorization", ""))
                served.open += 1
                served.most = max(served.most, served.open)
            try:
                done = act(number, body)
                time.sleep(done.seconds)
                with suppress(OSError):
                    self._respond(done, body)
            finally:
                with served.lock:
                    served.open -= 1

        def _respond(self, done: Act, body: Body) -> None:
            if done.raw is not None:
                content = done.raw
            elif done.status == 200:
                content = json.dumps(_completion(done, body)).encode()
            else:
                # As careless as real ones: the message repeats what was sent.
                content = json.dumps({"error": {"message": json.dumps(body)}}).encode()
            self.send_response(done.status)
            self.send_header("content-type", "application/json")
            length = done.promised if done.promised is not None else len(content)
            self.send_header("content-length", str(length))
            for name, value in done.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            if done.promised is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # five at once is the usual, and a sixth is turned away

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    port = cast("tuple[str, int]", server.server_address)[1]
    served.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _completion(done: Act, body: Body) -> dict[str, Any]:
    prompt = sum(len(message["content"].split()) for message in body["messages"])
    completion = len(done.text.split())
    message = {"role": "assistant", "content": done.text, "refusal": done.refusal}
    return {
        "id": "completion",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": done.finish_reason}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }
