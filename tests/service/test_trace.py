"""A caller's trace reaches the engine's requests, in whichever task they are made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from imhi.tasks import Question
from service.analysis.types import Event, Options
from service.trace import TRACE_HEADERS
from tests.service.api.fakes import FakeAnalyzer, client_of, make_app

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b1902b7-01"


class Traced(FakeAnalyzer):
    """Notes the trace that its analyses belong to."""

    def __init__(self) -> None:
        super().__init__()
        self.traces: list[object] = []

    async def stream(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> AsyncGenerator[Event, None]:
        self.traces.append(TRACE_HEADERS.get())
        async for event in super().stream(text, questions, options, request_id):
            yield event


async def test_a_trace_is_its_own_requests_alone():
    analyzer = Traced()
    async with client_of(make_app(analyzer)) as client:
        for headers in ({"traceparent": PARENT}, {}, {"traceparent": "what I feel"}):
            for stream in (False, True):
                body = {"texts": ["a", "b"], "tasks": ["stress"], "stream": stream}
                await client.post("/analyze", json=body, headers=headers)
    assert analyzer.traces == [{"traceparent": PARENT}] * 4 + [None] * 8
