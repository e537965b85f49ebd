"""What this project uses of vLLM, checked against the version that is installed.

Names, signatures and defaults only: nothing is loaded or run. When a vLLM release changes one of
these, this is the test that says so.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

vllm = pytest.importorskip("vllm")


def parameters(function: object) -> set[str]:
    return set(inspect.signature(function).parameters)


def test_the_plugin_is_found_and_follows_the_protocol() -> None:
    from vllm.plugins import ENDPOINT_PLUGINS_GROUP
    from vllm.plugins.endpoint_plugins.interface import EndpointPlugin

    from service.launch import PLUGIN

    (point,) = (one for one in entry_points(group=ENDPOINT_PLUGINS_GROUP) if one.name == PLUGIN)
    plugin = point.load()()
    assert isinstance(plugin, EndpointPlugin)
    assert plugin.name == PLUGIN
    for method in ("attach_router", "init_state"):
        wanted = list(inspect.signature(getattr(EndpointPlugin, method)).parameters)[1:]
        assert list(inspect.signature(getattr(plugin, method)).parameters) == wanted


def test_the_float_head_is_found_as_a_general_plugin() -> None:
    from vllm.plugins import DEFAULT_PLUGINS_GROUP

    from service.launch import PLUGIN

    (point,) = (one for one in entry_points(group=DEFAULT_PLUGINS_GROUP) if one.name == PLUGIN)
    assert callable(point.load())


def test_the_engine_client() -> None:
    from vllm.engine.protocol import EngineClient

    assert {
        "prompt",
        "sampling_params",
        "request_id",
        "lora_request",
        "trace_headers",
    } <= parameters(EngineClient.generate)
    assert inspect.iscoroutinefunction(EngineClient.check_health)
    assert {"model_config", "renderer", "vllm_config"} <= set(EngineClient.__annotations__)


def test_label_reads_have_what_they_ask_for() -> None:
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import MAX_LOGPROB_TOKEN_IDS, RequestOutputKind

    from imhi.tasks import QUESTIONS
    from service.api.decision_forms import MAX_CHOICES

    read = SamplingParams(
        max_tokens=1,
        temperature=0.0,
        logprob_token_ids=[3, 5],
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    assert read.logprob_token_ids == [3, 5]
    assert max(len(one.labels) for one in QUESTIONS.values()) <= MAX_LOGPROB_TOKEN_IDS
    assert MAX_CHOICES <= MAX_LOGPROB_TOKEN_IDS
    assert RequestOutputKind.DELTA
    assert tokens_input([1, 2])["prompt_token_ids"] == [1, 2]
    assert "num_cached_tokens" in parameters(RequestOutput.__init__)


def test_explanations_follow_a_grammar() -> None:
    """The backend takes our grammars; where another is set, `VllmEngine` sees it there."""
    from vllm.config import VllmConfig
    from vllm.config.structured_outputs import StructuredOutputsConfig
    from vllm.sampling_params import StructuredOutputsParams
    from vllm.v1.structured_output.backend_guidance import serialize_guidance_grammar
    from vllm.v1.structured_output.backend_types import StructuredOutputOptions

    from service.analysis.quotation import BACKEND, quote_grammar

    assert "structured_outputs_config" in VllmConfig.__dataclass_fields__
    assert StructuredOutputsConfig(backend=BACKEND).backend == BACKEND
    grammar = quote_grammar("I cannot sleep.")
    assert StructuredOutputsParams(grammar=grammar).grammar == grammar
    assert serialize_guidance_grammar(StructuredOutputOptions.GRAMMAR, grammar)


def test_logprobs_are_of_the_raw_distribution_by_default() -> None:
    from vllm.config import ModelConfig

    (field,) = (
        one for one in ModelConfig.__dataclass_fields__.values() if one.name == "logprobs_mode"
    )
    assert field.default == "raw_logprobs"


def test_the_server_command() -> None:
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup

    assert parameters(ServeSubcommand.cmd) == {"args"}
    assert parameters(ServeSubcommand.validate) == {"self", "args"}
    assert parameters(ServeSubcommand.subparser_init) == {"self", "subparsers"}
    assert callable(cli_env_setup)


def test_every_option_we_add_is_one_of_vllms() -> None:
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from service.launch import engine_options, server_options
    from service.models import ResolvedModel
    from service.settings import Settings

    parser = FlexibleArgumentParser()
    ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    model = ResolvedModel("some/model", "name", embedded=False)
    options = [*engine_options(model, [], cpu=True), *server_options([], Settings())]
    parsed = parser.parse_args(["serve", model.path, *options])
    assert parsed.model_tag == "some/model"
    assert parsed.served_model_name == ["name"]
    assert parsed.block_size in (16, 32)  # the latter with AMX
    assert parsed.enforce_eager
    assert parsed.hf_overrides == {"head_dtype": "float32"}
    assert parsed.host == "127.0.0.1"
    assert parsed.enable_offline_docs
    assert parsed.middleware == ["service.gate.Gate"]
    assert not parsed.enable_log_requests
    assert parsed.load_format == "safetensors"
    assert parsed.trust_remote_code is False
    assert parsed.disable_uvicorn_access_log
    assert parsed.shutdown_timeout == 35
    as_json = server_options([], Settings(log_format="json"))
    assert parser.parse_args(["serve", *as_json]).logging_config.formatter == "json"


def test_what_would_log_posts_is_named_as_we_refuse_it() -> None:
    from vllm import envs
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from service.server import _LOG_CONTENT, _LOG_RESPONSES

    parser = FlexibleArgumentParser()
    ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    parsed = parser.parse_args(["serve", "--enable-log-requests", "--enable-log-outputs"])
    assert [getattr(parsed, name) for name in _LOG_CONTENT] == [True, True]
    assert _LOG_RESPONSES in envs.environment_variables


def test_the_server_can_be_ended_as_we_end_it() -> None:
    """`service.lifespan`: handlers set before the lifespan, the server where we look for it."""
    from vllm.entrypoints.launchers import launcher

    source = inspect.getsource(launcher.serve_http)
    assert "app.state.server = server" in source
    assert source.index("loop.create_task(server.serve(") < source.index("await server_task")
    assert source.index("add_signal_handler(signal.SIGTERM") < source.index("await server_task")
    assert "server.should_exit = True" in inspect.getsource(launcher.terminate_if_errored)


def test_traces_are_where_the_engine_looks_for_them() -> None:
    from vllm.config import ObservabilityConfig, VllmConfig

    assert "observability_config" in VllmConfig.__dataclass_fields__
    assert "otlp_traces_endpoint" in ObservabilityConfig.__dataclass_fields__


def test_the_engine_sets_the_tracer_provider_that_our_spans_use() -> None:
    """In the process of the API server, and before the plugin is given the engine."""
    from vllm.tracing import otel
    from vllm.v1.engine.async_llm import AsyncLLM

    assert "init_tracer(" in inspect.getsource(AsyncLLM.__init__)
    assert "set_tracer_provider(" in inspect.getsource(otel.init_otel_tracer)
    # What it reads of the headers it is given; its spans are below what these name.
    context = otel.extract_trace_context({"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"})
    assert otel.trace.get_current_span(context).get_span_context().span_id == int("2" * 16, 16)


def test_the_engine_in_process() -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    assert callable(AsyncEngineArgs.add_cli_args)
    assert callable(AsyncEngineArgs.from_cli_args)
    assert "engine_args" in parameters(AsyncLLM.from_engine_args)
    assert callable(AsyncLLM.shutdown)


def test_refused_work_carries_its_status() -> None:
    from http import HTTPStatus

    from vllm.exceptions import GracefulHTTPError

    from service.analysis.vllm_engine import _refuses_work

    assert _refuses_work(GracefulHTTPError("busy", HTTPStatus.SERVICE_UNAVAILABLE))
    assert not _refuses_work(GracefulHTTPError("no", HTTPStatus.BAD_REQUEST))
    assert not _refuses_work(ValueError("no"))


def test_adapters_are_where_the_plugin_looks_for_them() -> None:
    from vllm.entrypoints.openai.models import serving
    from vllm.lora.request import LoRARequest

    tree = ast.parse(inspect.getsource(serving.OpenAIServingModels))
    assigned = {
        node.target.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute)
    }
    assert "lora_requests" in assigned
    assert LoRARequest("name", 1, "path").lora_name == "name"


def test_the_float_head_fits_in_the_place_of_vllms() -> None:
    from vllm.model_executor.custom_op import PluggableLayer, op_registry_oot
    from vllm.model_executor.layers.logits_processor import LogitsProcessor

    from service.float_head import LAYER

    assert LogitsProcessor.__name__ == LAYER
    assert issubclass(LogitsProcessor, PluggableLayer)
    assert list(inspect.signature(LogitsProcessor._apply_head).parameters) == [
        "self",
        "lm_head",
        "hidden_states",
        "embedding_bias",
    ]
    assert isinstance(op_registry_oot, dict)


def test_our_layers_take_the_place_of_vllms_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.model_executor import custom_op
    from vllm.platforms import current_platform

    from service import float_head, fused_layers

    monkeypatch.setattr(custom_op, "op_registry_oot", {})
    float_head.register()
    fused_layers.register()
    registered = dict(custom_op.op_registry_oot)
    ours = {float_head.LAYER, "SiluAndMul", "RMSNorm"}
    assert set(registered) == (ours if current_platform.is_cpu() else set())
    float_head.register()
    fused_layers.register()
    assert custom_op.op_registry_oot == registered


def test_the_documentation_pages_assets_come_with_vllm() -> None:
    from vllm.entrypoints.serve.instrumentator import offline_docs

    static = Path(inspect.getfile(offline_docs)).parent / "static"
    assert {"swagger-ui-bundle.js", "swagger-ui.css"} <= {one.name for one in static.iterdir()}


def test_the_sampler_is_the_one_that_is_mended() -> None:
    from vllm.v1.outputs import LogprobsTensors
    from vllm.v1.sample.metadata import SamplingMetadata
    from vllm.v1.sample.sampler import Sampler

    gather = Sampler.gather_specific_token_logprobs
    wanted = ["self", "logprobs", "logprob_token_ids", "sampled"]
    assert list(inspect.signature(gather).parameters) == wanted
    assert {"logprobs", "num_logprobs", "token_ids"} <= parameters(Sampler.gather_logprobs)
    assert "sampling_metadata" in parameters(Sampler.forward)
    assert "max_num_logprobs" in SamplingMetadata.__dataclass_fields__
    assert LogprobsTensors._fields[:3] == (
        "logprob_token_ids",
        "logprobs",
        "selected_token_ranks",
    )


def test_the_time_in_the_queue_is_told() -> None:
    from vllm.v1.metrics.stats import RequestStateStats

    assert {"queued_ts", "scheduled_ts"} <= RequestStateStats.__dataclass_fields__.keys()


def test_no_header_is_read_that_the_gate_does_not_know() -> None:
    from service.gate.control_headers import KEPT, is_control

    root = Path(vllm.__file__).parent / "entrypoints"
    sources = {path: path.read_text() for path in root.rglob("*.py")}
    constants = dict(
        found
        for text in sources.values()
        for found in re.findall(r'^([A-Z_]+) = "(.+)"', text, re.M)
    )
    # Another server, another product's routes, a response's header: none of them ours.
    elsewhere = ("cohere", "speech_to_text", "anthropic")
    read = set()
    for path, text in sources.items():
        if path.relative_to(root).parts[0] in elsewhere or "log_response" in path.name:
            continue
        for name in re.findall(r"headers(?:\.get\(|\[)\s*([\"'][\w-]+[\"']|[A-Z_]+)", text):
            read.add(constants.get(name, name).strip("\"'").lower())
    assert {"x-vllm-priority", "x-data-parallel-rank", "authorization"} <= read
    assert {name for name in read if name not in KEPT and not is_control(name.encode())} == set()


async def test_the_metrics_are_shown_to_no_method_without_a_key() -> None:
    """What vLLM mounts there answers every method alike."""
    from vllm.entrypoints.serve.instrumentator.metrics import attach_router

    from service.gate import Gate
    from service.gate.keys import hash_key
    from service.settings import Settings

    entry = {"name": "a", "sha256": [hash_key("key")], "scopes": ["metrics"]}
    app = FastAPI()
    attach_router(app)
    transport = httpx.ASGITransport(Gate(app, Settings(keys=json.dumps({"keys": [entry]}))))
    preflight = {"origin": "http://page", "access-control-request-method": "GET"}
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"):
            for headers in ({}, preflight):
                response = await client.request(method, "/metrics", headers=headers)
                assert "python_info" not in response.text
        shown = await client.get("/metrics", headers={"authorization": "Bearer key"})
    assert "python_info" in shown.text


def test_control_fields_and_the_salt_are_called_what_the_gate_calls_them() -> None:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    from service.gate.openai_body import REFUSED

    for request in (ChatCompletionRequest, CompletionRequest):
        assert {*REFUSED, "cache_salt"} <= request.model_fields.keys()


def test_an_engine_input_takes_a_salt() -> None:
    from vllm.inputs import tokens_input

    assert tokens_input([1], cache_salt="s")["cache_salt"] == "s"
    assert "cache_salt" not in tokens_input([1], cache_salt=None)


async def test_a_route_of_vllm_that_is_told_its_client_left_stops_its_work() -> None:
    """The gate tells it so when a deadline has passed."""
    from vllm.entrypoints.serve.utils.api_utils import with_cancellation

    from service.gate import Gate
    from service.settings import Settings

    app, stopped = FastAPI(), asyncio.Event()

    @app.post("/v1/completions")
    @with_cancellation
    async def complete(body: dict, raw_request: Request) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    transport = httpx.ASGITransport(Gate(app, Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        headers = {"X-MentalLLaMA-Deadline": "0.1"}
        response = await client.post("/v1/completions", json={}, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert stopped.is_set()


@pytest.mark.parametrize(
    ("tokens", "loops"),
    [
        ([9, 8] + [1, 2, 3, 4, 5] * 3, True),
        ([9, 8] + [1, 2, 3, 4, 5] * 2 + [1, 2, 3, 4], False),
        (list(range(31)) * 3, True),
        ([7] * 11, False),  # a run of four, three times, is twelve
        (list(range(90)), False),
    ],
)
def test_what_vllm_takes_for_a_loop(tokens: list[int], loops: bool) -> None:
    """By the parameters of ours that it is given with each explanation."""
    from vllm import SamplingParams
    from vllm.v1.core.sched.utils import check_sequence_repetition

    from service.analysis.vllm_engine import _no_loops

    assert SamplingParams(**_no_loops()).repetition_detection is not None
    assert check_sequence_repetition(tokens, _no_loops()["repetition_detection"]) is loops
