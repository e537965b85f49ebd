"""What this project uses of vLLM and no end-to-end test would miss, in the installed version.

Names, signatures and defaults only: nothing is loaded or run. When a vLLM release changes one of
these, this is the test that says so.
"""

from __future__ import annotations

import inspect
import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    pytest.importorskip("vllm")


def parameters(function: object) -> set[str]:
    return set(inspect.signature(function).parameters)


def test_the_float_head_is_found_as_a_general_plugin() -> None:
    from vllm.plugins import DEFAULT_PLUGINS_GROUP

    from service.launch import PLUGIN

    (point,) = (one for one in entry_points(group=DEFAULT_PLUGINS_GROUP) if one.name == PLUGIN)
    assert callable(point.load())


def test_a_label_read_asks_for_no_more_tokens_than_vllm_allows() -> None:
    from vllm.sampling_params import MAX_LOGPROB_TOKEN_IDS

    from imhi.tasks import QUESTIONS
    from service.api.decision_forms import MAX_CHOICES

    assert max(len(one.labels) for one in QUESTIONS.values()) <= MAX_LOGPROB_TOKEN_IDS
    assert MAX_CHOICES <= MAX_LOGPROB_TOKEN_IDS


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


def test_refused_work_carries_its_status() -> None:
    from http import HTTPStatus

    from vllm.exceptions import GracefulHTTPError

    from service.analysis.vllm_engine import _refuses_work

    assert _refuses_work(GracefulHTTPError("busy", HTTPStatus.SERVICE_UNAVAILABLE))
    assert not _refuses_work(GracefulHTTPError("no", HTTPStatus.BAD_REQUEST))
    assert not _refuses_work(ValueError("no"))


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


def test_no_header_is_read_that_the_gate_does_not_know() -> None:
    import vllm

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


def test_control_fields_and_the_salt_are_called_what_the_gate_calls_them() -> None:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    from service.gate.openai_body import REFUSED

    for request in (ChatCompletionRequest, CompletionRequest):
        assert {*REFUSED, "cache_salt"} <= request.model_fields.keys()


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
