"""Spans of real requests to the Analyzer on a fake engine, with OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from service import spans
from service.analysis.analyzer import Analyzer
from service.analysis.engine import Chunk, RequestContext, TokenRead
from service.analysis.manifest import assumed_manifest
from service.api import attach
from service.api.state import ServiceState
from service.gate import record
from service.lifecycle import ATTRIBUTE, Lifecycle
from service.plugin import MentalLlamaPlugin
from service.settings import Settings
from service.spans import engine_headers, root, switch_on
from tests.service.analysis.engines import FakeEngine
from tests.service.api.driver import Connection
from tests.service.api.fakes import FakeAnalyzer, client_of, healthy, make_app
from tests.service.gate.gates import KEY, key_entry, key_file
from tests.tokenizers import word_tokenizer

pytest.importorskip("opentelemetry.sdk")

CANARY = "zqcanary"
TEXT = f"{CANARY}: my boss said “be quicker” again and I could not sleep."
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0b1902b7"
TASKS = ["stress", "loneliness", "depression_cause"]
DECISION = {
    "model": "tested",
    "input": TEXT,
    "questions": [{"type": "predicate", "instructions": f"Is it a {CANARY}?", "name": CANARY}],
}


class Collected:
    """What a tracer provider like vLLM's would send."""

    def __init__(self, sampler: Any = None) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> list[Any]:
        """By when they began."""
        return sorted(self.exporter.get_finished_spans(), key=lambda one: one.start_time)

    def named(self, name: str) -> Any:
        (found,) = [one for one in self.spans if one.name == name]
        return found

    def tree(self) -> list[str]:
        """A line a span, below its parent by two spaces a level; equal ones once."""
        ids = {one.context.span_id for one in self.spans}
        lines: list[str] = []

        def show(parent: int | None, depth: int) -> None:
            for one in self.spans:
                above = one.parent.span_id if one.parent else None
                if (above if above in ids else None) == parent:
                    line = "  " * depth + one.name
                    if not lines or lines[-1] != line:
                        lines.append(line)
                    show(one.context.span_id, depth + 1)

        show(None, 0)
        return lines


class Engine(FakeEngine):
    """Makes a span of each request from its headers, as vLLM does when a request has ended."""

    def __init__(self, provider: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.tracer = provider and provider.get_tracer("vllm")
        self.headers: dict[str, Mapping[str, str] | None] = {}
        self.explains = asyncio.Event()

    async def read(
        self, prompt: Sequence[int], token_ids: Sequence[int], context: RequestContext, suffix: str
    ) -> TokenRead:
        self._trace(suffix)
        return await super().read(prompt, token_ids, context, suffix)

    async def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        context: RequestContext,
        suffix: str,
        grammar: str | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        self._trace(suffix)
        self.explains.set()
        async for chunk in super().generate(prompt, max_tokens, context, suffix, grammar):
            yield chunk

    def _trace(self, suffix: str) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.headers[suffix] = engine_headers()
        if self.tracer is not None:
            above = TraceContextTextMapPropagator().extract(self.headers[suffix] or {})
            self.tracer.start_span("llm_request", above).end()


@pytest.fixture
def collect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Collected]:
    """Switches spans on, for the provider that vLLM would have set in this process."""

    def collect(sampler: Any = None) -> Collected:
        collected = Collected(sampler)
        monkeypatch.setattr(spans, "_tracer", None)
        monkeypatch.setattr("opentelemetry.trace.get_tracer", collected.provider.get_tracer)
        switch_on()
        return collected

    return collect


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer()


def serving(engine: FakeEngine, tokenizer: Any, **settings: object) -> FastAPI:
    """Our routes with the real Analyzer on a fake engine."""
    chosen = Settings.model_validate(settings)
    app = FastAPI()
    attach(app, chosen)
    analyzer = Analyzer(engine, tokenizer, assumed_manifest("mentallama", True), "tested")
    app.state.mentalllama = ServiceState(analyzer, chosen, healthy)
    return app


def parent(flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{CALLER}-{flags}"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_is_a_tree_with_the_engines_spans_in_it(collect, tokenizer, stream):
    collected = collect()
    app = serving(Engine(collected.provider), tokenizer, keys=key_file(key_entry("web")))
    headers = {"x-request-id": "mine", "authorization": f"Bearer {KEY}", **parent()}
    async with client_of(app) as client:
        body = {"texts": [TEXT], "tasks": TASKS, "stream": stream}
        response = await client.post("/analyze", json=body, headers=headers)
    assert response.status_code == 200
    assert collected.tree() == [
        "POST /analyze",
        "  analysis",
        "    tokenize",
        "    label_read",
        "      llm_request",
        "    explanation",
        "      llm_request",
        "    consistency",
        "      llm_request",
    ]
    assert {f"{one.context.trace_id:032x}" for one in collected.spans} == {TRACE}

    server = collected.named("POST /analyze")
    assert server.kind.name == "SERVER"
    assert f"{server.parent.span_id:016x}" == CALLER
    sizes = {name: server.attributes[f"mentalllama.bytes_{name}"] for name in ("in", "out")}
    assert sizes == {"in": len(response.request.content), "out": len(response.content)}
    tokens = {
        name: server.attributes[f"mentalllama.{name}_tokens"]
        for name in ("prompt", "cached", "completion")
    }
    assert dict(server.attributes) == {
        "http.request.method": "POST",
        "http.route": "/analyze",
        "http.response.status_code": 200,
        "mentalllama.request_id": "mine",
        "mentalllama.caller": "web",
        "mentalllama.outcome": "ok",
        "mentalllama.texts": 1,
        "mentalllama.characters": len(TEXT),
        "mentalllama.questions": 3,
        **{f"mentalllama.bytes_{name}": size for name, size in sizes.items()},
        **{f"mentalllama.{name}_tokens": number for name, number in tokens.items()},
    }
    assert dict(collected.named("analysis").attributes) == {
        "mentalllama.index": 0,
        "mentalllama.questions": 3,
        **{f"mentalllama.{name}_tokens": number for name, number in tokens.items()},
    }
    for name in ("label_read", "explanation", "consistency"):
        assert dict(collected.named(name).attributes) == {"mentalllama.questions": 3}
    assert all(one.status.is_unset for one in collected.spans)


async def test_other_routes_are_not(collect):
    collected = collect()
    async with client_of(make_app(FakeAnalyzer())) as client:
        await client.get("/tasks", headers=parent())
        await client.get("/analyze")
        await client.post("/v1/completions", json={"prompt": TEXT})
    assert collected.spans == []


async def test_a_parent_that_is_not_sampled_is_passed_on_and_nothing_is_sent(collect, tokenizer):
    collected = collect()
    engine = Engine(collected.provider)
    async with client_of(serving(engine, tokenizer)) as client:
        await client.post("/analyze", json={"text": TEXT, "tasks": TASKS}, headers=parent("00"))
    assert collected.spans == []
    (headers,) = {(found or {})["traceparent"] for found in engine.headers.values()}
    _, trace_id, span_id, flags = headers.split("-")
    assert trace_id == TRACE
    assert span_id != CALLER
    assert int(flags, 16) & 1 == 0


async def test_what_is_no_traceparent_begins_a_trace_that_the_log_names(
    collect, tokenizer, monkeypatch
):
    # Where it is written: other tests leave behind what reaches the log's handlers.
    lines = []
    monkeypatch.setattr(record.access, "info", lambda _, extra: lines.append(extra["facts"]))
    collected = collect()
    async with client_of(serving(Engine(), tokenizer)) as client:
        headers = {"traceparent": CANARY}
        await client.post("/analyze", json={"text": TEXT, "tasks": TASKS}, headers=headers)
    server = collected.named("POST /analyze")
    assert server.parent is None
    (line,) = lines
    assert line["trace_id"] == f"{server.context.trace_id:032x}"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_is_told_by_its_code(collect, tokenizer, stream):
    collected = collect()
    engine = Engine(collected.provider, fails=lambda suffix: suffix.startswith("loneliness"))
    async with client_of(serving(engine, tokenizer)) as client:
        body = {"text": TEXT, "tasks": ["loneliness"], "stream": stream}
        response = await client.post("/analyze", json=body)
    assert response.status_code == 502
    for name in ("POST /analyze", "analysis", "label_read"):
        failed = collected.named(name)
        assert failed.attributes["error.type"] == "engine_error"
        assert failed.status.status_code.name == "ERROR"
        assert failed.status.description is None
    assert collected.named("POST /analyze").attributes["mentalllama.outcome"] == "server_error"


async def test_a_failure_of_the_callers_is_no_error_of_the_service(collect, tokenizer):
    collected = collect()
    async with client_of(serving(Engine(), tokenizer, max_characters=100)) as client:
        for text in (" ", "long " * 100):
            await client.post("/analyze", json={"text": text})
        await client.post("/analyze", json={"text": TEXT, CANARY: CANARY})
    servers = [one for one in collected.spans if one.name == "POST /analyze"]
    codes = ["empty_text", "text_too_long", "invalid_request"]
    assert [one.attributes["error.type"] for one in servers] == codes
    texts = [one for one in collected.spans if one.name == "analysis"]
    assert [one.attributes["error.type"] for one in texts] == codes[:2]
    assert all(one.status.is_unset for one in collected.spans)


async def test_one_texts_failure_among_several_is_its_own(collect):
    collected = collect()
    analyzer = FakeAnalyzer(breaks={"bad": KeyError(CANARY)})
    async with client_of(make_app(analyzer)) as client:
        await client.post("/analyze", json={"texts": ["good", "bad"], "tasks": ["stress"]})
    kinds = {
        one.attributes["mentalllama.index"]: one.attributes.get("error.type")
        for one in collected.spans
        if one.name == "analysis"
    }
    assert kinds == {0: None, 1: "KeyError"}
    assert "error.type" not in collected.named("POST /analyze").attributes


@pytest.mark.parametrize("stream", [False, True])
async def test_the_spans_of_a_client_that_leaves_end(collect, tokenizer, stream):
    collected = collect()
    engine = Engine(collected.provider, delay=0.01, explanation=" so" * 10_000)
    body = {"text": TEXT, "tasks": ["stress"], "stream": stream, "explanation_tokens": 512}
    connection = Connection(serving(engine, tokenizer), body)
    await asyncio.wait_for(engine.explains.wait(), 5)
    await connection.leave()
    server = collected.named("POST /analyze")
    assert server.attributes["mentalllama.outcome"] == "cancelled"
    assert "error.type" not in server.attributes
    for name in ("analysis", "explanation"):
        assert collected.named(name).attributes["mentalllama.cancelled"] is True
    assert "mentalllama.cancelled" not in collected.named("label_read").attributes


@pytest.mark.parametrize("fails", [False, True])
async def test_no_span_holds_anything_of_a_text(collect, tokenizer, fails):
    collected = collect()
    explanation = f" The post says {CANARY}."
    engine = Engine(collected.provider, explanation=explanation, fails=lambda suffix: fails)
    app = serving(engine, tokenizer)
    broken = make_app(FakeAnalyzer(fails={TEXT: ValueError(TEXT)}))
    for stream in (False, True):
        body = {"text": TEXT, "tasks": ["stress"], "stream": stream}
        for one in (app, broken):
            async with client_of(one) as client:
                await client.post(f"/analyze?{CANARY}", json=body, headers={"user-agent": CANARY})
                await client.post("/analyze", json={"text": {CANARY: CANARY}})
                await client.post("/analyze", json={"text": TEXT, "tasks": [CANARY]})
                await client.post("/v1/decisions", json=DECISION)
    assert len(collected.spans) > 30
    assert CANARY not in "".join(one.to_json() for one in collected.spans)
    assert [one.name for one in collected.spans if one.events or one.links] == []


@pytest.mark.xdist_group("vllm")
async def test_vllm_is_given_the_span_that_is_open(collect):
    pytest.importorskip("vllm")
    from service.analysis.vllm_engine import VllmEngine

    collect()
    seen: list[Mapping[str, str] | None] = []

    async def generate(*_: object, trace_headers: Mapping[str, str] | None, **__: object) -> Any:
        seen.append(trace_headers)
        token = {3: SimpleNamespace(logprob=-0.5)}
        completion = SimpleNamespace(finish_reason="length", logprobs=[token])
        yield SimpleNamespace(outputs=[completion], num_cached_tokens=0, metrics=None)

    for endpoint in ("http://localhost:4317", None):
        observability = SimpleNamespace(otlp_traces_endpoint=endpoint)
        configuration = SimpleNamespace(observability_config=observability)
        client: Any = SimpleNamespace(generate=generate, vllm_config=configuration)
        with root("POST /analyze"), spans.phase("label_read"):
            await VllmEngine(client).read([1, 2], [3], RequestContext("id"), "stress")
            above = engine_headers()
        assert seen.pop() == (above if endpoint else None)


async def test_switched_off_there_is_nothing(tokenizer):
    engine = Engine()
    async with client_of(serving(engine, tokenizer)) as client:
        await client.post("/analyze", json={"text": TEXT, "tasks": TASKS}, headers=parent())
        assert {tuple((found or {}).items()) for found in engine.headers.values()} == {
            tuple(parent().items())
        }
        engine.headers.clear()
        await client.post("/analyze", json={"text": TEXT, "tasks": TASKS})
    assert set(engine.headers.values()) == {None}
    assert root("POST /analyze") is spans.span("tokenize") is spans.phase("label_read")


@pytest.mark.parametrize("endpoint", [None, "http://localhost:4317"])
async def test_the_plugin_switches_them_on_where_vllm_has_an_endpoint(
    collect, monkeypatch, endpoint
):
    collected = collect()
    monkeypatch.setattr(spans, "_tracer", None)
    seen: list[Mapping[str, str] | None] = []

    async def make_analyzer(*_: object) -> FakeAnalyzer:
        seen.append(engine_headers())
        return FakeAnalyzer()

    monkeypatch.setattr("service.serving.make_analyzer", make_analyzer)
    monkeypatch.setattr("service.serving.show_baseline", lambda *_: None)
    observability = SimpleNamespace(otlp_traces_endpoint=endpoint)
    engine: Any = SimpleNamespace(
        vllm_config=SimpleNamespace(observability_config=observability),
        check_health=healthy,
        generate=None,
    )
    state: Any = SimpleNamespace(**{ATTRIBUTE: Lifecycle()})
    arguments: Any = SimpleNamespace(host="127.0.0.1", uds=None)
    await MentalLlamaPlugin().init_state(engine, state, arguments)
    if endpoint is None:
        assert (seen, collected.spans) == ([None], [])
        return
    warm_up = collected.named("warm_up")
    assert f"{warm_up.context.span_id:016x}" in (seen[0] or {})["traceparent"]
