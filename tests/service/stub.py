"""A small HTTP server in a thread, for clients under test."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """What was posted; names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Any


class Stub:
    """Answers every POST with what the test puts into it, and keeps the requests.

    Attributes:
        status: of every response; None breaks the connection.
        response: the body, as JSON where it is not bytes.
        headers: of every response.
        delay: seconds before each response.
        asked: set by the first request.
        open: while it is cleared, nothing is answered.
        requests: in the order of their arrival.
    """

    def __init__(self) -> None:
        self.status: int | None = 200
        self.response: object = {}
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.asked, self.open = threading.Event(), threading.Event()
        self.open.set()
        self.requests: list[Request] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.path, headers, body)
                stub.asked.set()
                stub.open.wait()
                time.sleep(stub.delay)
                status, response, more = stub.answer(request)
                if status is None:
                    self.close_connection = True
                    return
                content = response if isinstance(response, bytes) else json.dumps(response).encode()
                self.send_response(status)
                for name, value in {**more, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 64  # all of a run's connections at once

            def handle_error(self, *_: object) -> None:
                pass  # a client that has gone has nothing to be told

        self.http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request: Request) -> tuple[int | None, object, Mapping[str, str]]:
        """Status, body and headers for a request."""
        self.requests.append(request)
        return self.status, self.response, self.headers

    @property
    def last(self) -> Request:
        """The request that came last."""
        return self.requests[-1]

    @contextlib.contextmanager
    def running(self) -> Iterator[Stub]:
        """Serve until the block is left."""
        thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.open.set()
            self.http.shutdown()
            self.http.server_close()
            thread.join()
