"""What stands between a body and the engine: control fields, salts, deadlines, turns."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from service.gate import Gate
from service.gate.admission import Admission
from service.gate.caller import Priority, cache_salt
from service.gate.counters import Counters
from service.gate.openai_body import VLLM_ROUTES
from service.gate.routes import ROUTES
from service.gate.work import Work
from service.settings import Settings
from tests.service.api.driver import Connection
from tests.service.api.fakes import FakeAnalyzer, make_app
from tests.service.gate.gates import CHAT, Seen, call, client_of, key_entry, key_file, refusal

OPENAI = [CHAT, "/v1/completions"]


def keyed(*entries: dict[str, Any]) -> Settings:
    return Settings(keys=key_file(*(entries or (key_entry(),))))


def test_every_route_with_a_body_is_vllms_or_salts_its_own_requests():
    # test_the_analysis_gets_the_callers_salt, test_each_key_has_a_prefix_cache_of_its_own
    ours = {"/analyze", "/v1/decisions"}
    assert {path for path, method in ROUTES.items() if method == "POST"} == VLLM_ROUTES | ours


@pytest.mark.parametrize("path", OPENAI)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", -5),
        ("priority", True),
        ("kv_transfer_params", {"remote_host": "elsewhere"}),
        ("ec_transfer_params", {}),
        ("vllm_xargs", {"session_id": "x"}),
        ("session_id", "x"),
        ("request_id", "x"),
        ("mm_payload", "x"),
    ],
)
async def test_fields_that_steer_the_engine_are_refused(path: str, field: str, value: object):
    app = Seen()
    async with client_of(app, key=None) as client:
        response = await client.post(path, json={"model": "m", field: value})
    assert refusal(response) == (400, "invalid_request")
    assert response.json()["error"]["param"] == field
    assert app.bodies == []


@pytest.mark.parametrize("escaped", [r"prior\u0069ty", r"\u0070riority"])
async def test_however_they_are_spelled(escaped: str):
    async with client_of(Seen(), key=None) as client:
        response = await client.post(CHAT, content=f'{{"priority": 0, "{escaped}": 9}}')
    assert refusal(response) == (400, "invalid_request")


async def test_their_neutral_values_pass():
    body = {"priority": 0, "kv_transfer_params": None, "session_id": None}
    async with client_of(Seen(), key=None) as client:
        assert (await client.post(CHAT, json=body)).status_code == 200


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"1", b'"x"', b'{"a": "\\ud800"}', b"\xff", b"[" * 100_000]
)
async def test_what_is_no_json_object_does_not_reach_vllm(content: bytes):
    app = Seen()
    async with client_of(app, key=None) as client:
        response = await client.post(CHAT, content=content)
    assert refusal(response) == (400, "invalid_request")
    assert app.bodies == []


async def test_of_our_own_route_the_route_says_what_is_wrong():
    app = Seen()
    async with client_of(app, key=None) as client:
        for content in (b"", b"[", b'{"texts": 1}', b'{"text": null, "tasks": [1], "n": 1e999}'):
            await client.post("/analyze", content=content)
    assert app.bodies == [b"", b"[", b'{"texts": 1}', b'{"text": null, "tasks": [1], "n": 1e999}']


@pytest.mark.parametrize("path", OPENAI)
async def test_each_key_has_a_prefix_cache_of_its_own(path: str):
    app = Seen()
    settings = keyed(
        key_entry("a", "ka"), key_entry("b", "kb"), key_entry("c", "kc", share_cache=True)
    )
    sent = {"model": "m", "seed": 2**60, "temperature": 0.1, "x": "é\ud83d\ude00"}
    async with client_of(app, settings, key=None) as client:
        for key in ("ka", "kb", "kc"):
            headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
            await client.post(path, content=json.dumps(sent), headers=headers)
    a, b, c = map(json.loads, app.bodies)
    assert (a.pop("cache_salt"), b.pop("cache_salt")) == (cache_salt("a"), cache_salt("b"))
    assert a == b == c == sent | {"x": "é😀"}
    assert [int(seen["content-length"]) for seen in app.headers] == list(map(len, app.bodies))


async def test_no_caller_can_choose_another_ones_salt():
    app = Seen()
    settings = keyed(key_entry("a", "ka"), key_entry("c", "kc", share_cache=True))
    async with client_of(app, settings, key=None) as client:
        for key in ("ka", "kc"):
            await client.post(
                CHAT,
                json={"cache_salt": cache_salt("b")},
                headers={"authorization": f"Bearer {key}"},
            )
    salts = [json.loads(body)["cache_salt"] for body in app.bodies]
    mixed = f"{cache_salt('a')}\0{cache_salt('b')}".encode()
    assert salts[0] == hashlib.sha256(mixed).hexdigest()
    assert len({*salts, cache_salt("a"), cache_salt("b")}) == 4


@pytest.mark.parametrize("salt", ["", 1, ["x"]])
async def test_a_salt_that_is_none(salt: object):
    async with client_of(Seen(), keyed()) as client:
        response = await client.post(CHAT, json={"cache_salt": salt})
    assert refusal(response) == (400, "invalid_request")


async def test_without_keys_bodies_pass_as_they_are():
    app, content = Seen(), b' {"model" : "m", "cache_salt": "mine"}'
    async with client_of(app, key=None) as client:
        await client.post(CHAT, content=content)
    assert app.bodies == [content]


async def test_the_analysis_gets_the_callers_salt():
    analyzer = FakeAnalyzer()
    settings = keyed(key_entry("a", "ka"), key_entry("c", "kc", share_cache=True))
    app = make_app(analyzer, keys=settings.keys)
    async with client_of(app, settings, key=None) as client:
        for key in ("ka", "kc"):
            body = {"text": "a", "tasks": ["stress"]}
            headers = {"authorization": f"Bearer {key}"}
            assert (await client.post("/analyze", json=body, headers=headers)).status_code == 200
    assert [call[2].cache_salt for call in analyzer.calls] == [cache_salt("a"), None]


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf", "1e9", ""])
async def test_a_deadline_that_is_none(value: str):
    async with client_of(Seen(), key=None) as client:
        for path, status in (("/analyze", 422), (CHAT, 400)):
            response = await client.post(path, json={}, headers={"X-MentalLLaMA-Deadline": value})
            assert refusal(response) == (status, "invalid_request")


async def test_a_priority_that_is_none():
    async with client_of(Seen(), key=None) as client:
        response = await client.post(
            "/analyze", json={}, headers={"X-MentalLLaMA-Priority": "urgent"}
        )
    assert refusal(response) == (422, "invalid_request")
    assert "interactive, bulk" in response.json()["error"]["message"]


class Recorder(Admission):
    """Lets everything through and keeps the priorities."""

    def __init__(self) -> None:
        super().__init__(None, 10**6, 60)
        self.priorities: list[Priority] = []

    def admit_now(
        self, route: str, estimate: int, priority: Priority, deadline: float | None = None
    ):
        self.priorities.append(priority)
        return super().admit_now(route, estimate, priority, deadline)


@pytest.mark.parametrize(
    ("key", "asked", "texts", "priority"),
    [
        (None, None, 2, "interactive"),
        (None, None, 3, "bulk"),
        (None, "bulk", 1, "bulk"),
        (None, " Interactive ", 9, "interactive"),
        ("bulk", "interactive", 1, "bulk"),
        ("interactive", "bulk", 9, "interactive"),
    ],
)
async def test_whose_turn_it_is(key: str | None, asked: str | None, texts: int, priority: str):
    from service.gate.caller import Caller, set_caller
    from service.gate.scopes import Scope as Right

    recorder = Recorder()
    work = Work(Seen(), recorder, Counters(), interactive_texts=2)
    caller = Caller("web", frozenset(Right), priority=Priority(key) if key else None)
    headers = [] if asked is None else [(b"x-mentalllama-priority", asked.encode())]
    set_caller(scope := {}, caller)
    await call(work, json.dumps({"texts": ["a"] * texts}).encode(), headers=headers, **scope)
    assert recorder.priorities == [priority]
    assert recorder.running == 0


class Slow:
    """An app that answers once it is let, and notices when its client leaves."""

    def __init__(self, *, begins: bool = False) -> None:
        self.begins = begins
        self.go = asyncio.Event()
        self.reached = asyncio.Semaphore(0)
        self.left = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.reached.release()
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if self.begins:
            await send(start)
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        going = asyncio.create_task(self.go.wait())
        leaving = asyncio.create_task(receive())
        await asyncio.wait({going, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            assert leaving.result()["type"] == "http.disconnect"
            self.left += 1
        else:
            if not self.begins:
                await send(start)
            await send({"type": "http.response.body", "body": b"end"})
        going.cancel()
        leaving.cancel()


def request(gate: Any, headers: dict[str, str] | None = None) -> Connection:
    """A request to /analyze whose client can leave."""
    connection = Connection(gate, {"text": "a"})
    connection._scope["headers"] += [
        (name.lower().encode(), value.encode()) for name, value in (headers or {}).items()
    ]
    return connection


async def answer_of(connection: Connection) -> tuple[int, dict[str, str], bytes]:
    await asyncio.wait_for(connection.running, 5)
    messages = []
    while not connection.sent.empty():
        messages.append(connection.sent.get_nowait())
    headers = {k.decode(): v.decode() for k, v in messages[0]["headers"]}
    return messages[0]["status"], headers, b"".join(one.get("body", b"") for one in messages[1:])


async def test_a_deadline_stops_the_work_and_is_told():
    app = Slow()
    connection = request(Gate(app, Settings()), {"X-MentalLLaMA-Deadline": "0.05"})
    status, headers, body = await answer_of(connection)
    assert (status, json.loads(body)["error"]["code"]) == (504, "deadline_exceeded")
    assert int(headers["retry-after"]) >= 1
    assert app.left == 1


async def test_a_stream_that_has_begun_goes_on_after_its_deadline():
    app = Slow(begins=True)
    connection = request(Gate(app, Settings()), {"X-MentalLLaMA-Deadline": "0.05"})
    await app.reached.acquire()
    await asyncio.sleep(0.1)
    app.go.set()
    assert (await answer_of(connection))[::2] == (200, b"data: 1\n\nend")


async def test_an_app_that_fails_within_its_deadline_is_told_of_as_ever():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("what nobody may read")

    connection = request(Gate(app, Settings()), {"X-MentalLLaMA-Deadline": "5"})
    status, _, body = await answer_of(connection)
    assert (status, json.loads(body)["error"]["code"]) == (500, "internal_error")
    assert b"nobody" not in body


async def test_a_client_that_leaves_while_its_deadline_runs_is_heard():
    app = Slow()
    connection = request(Gate(app, Settings()), {"X-MentalLLaMA-Deadline": "60"})
    await app.reached.acquire()
    await connection.leave()
    assert app.left == 1


def crowded() -> Settings:
    """Room for one request."""
    return Settings(max_running_tokens=1, max_queued_tokens=10**7)


async def test_the_queue_is_in_front_of_the_app():
    app = Slow()
    gate = Gate(app, crowded())
    first, second = request(gate), request(gate)
    await app.reached.acquire()
    await asyncio.sleep(0.02)
    assert app.reached.locked()
    app.go.set()
    assert [(await answer_of(one))[0] for one in (first, second)] == [200, 200]


async def test_a_full_queue_is_an_overload_with_the_time_to_try_again():
    app = Slow()
    gate = Gate(app, Settings(max_running_tokens=1, max_queued_tokens=1))
    first = request(gate)
    await app.reached.acquire()
    status, headers, body = await answer_of(request(gate))
    assert (status, json.loads(body)["error"]["code"]) == (503, "overloaded")
    assert int(headers["retry-after"]) >= 1
    app.go.set()
    assert (await answer_of(first))[0] == 200


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b'{"usage": {"prompt_tokens": 10, "cached_tokens": 4, "completion_tokens": 5}}', 21),
        (b'{"usage": {"prompt_tokens": 10, "completion_tokens": 0}}', 10),
        (b'data: {"a": 1}\n\n', 4 + 3),  # one event, one token; the prompt as it was estimated
        (b"{}", None),
    ],
)
async def test_what_work_took_is_read_from_its_response(response: bytes, expected: int | None):
    released = []

    class Door(Recorder):
        def release(self, ticket, actual, *, stopped=False):
            released.append((ticket.estimate, actual))
            super().release(ticket, actual, stopped=stopped)

    app = Seen()
    app.response = response
    work = Work(app, Door(), Counters(), interactive_texts=1)
    await call(work, b'{"max_tokens": 9}', path=CHAT)
    assert released == [(4 + 3 * 9, 4 + 3 * 9 if expected is None else expected)]
