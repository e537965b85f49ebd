"""What this project uses of vLLM, checked against the version that is installed.

Names, signatures and defaults only: nothing is loaded or run. When a vLLM release changes one of
these, this is the test that says so.
"""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import entry_points
from pathlib import Path

import pytest

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

    assert {"prompt", "sampling_params", "request_id", "lora_request"} <= parameters(
        EngineClient.generate
    )
    assert inspect.iscoroutinefunction(EngineClient.check_health)
    assert {"model_config", "renderer", "vllm_config"} <= set(EngineClient.__annotations__)


def test_label_reads_have_what_they_ask_for() -> None:
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import MAX_LOGPROB_TOKEN_IDS, RequestOutputKind

    from imhi.tasks import QUESTIONS

    read = SamplingParams(
        max_tokens=1,
        temperature=0.0,
        logprob_token_ids=[3, 5],
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    assert read.logprob_token_ids == [3, 5]
    assert max(len(one.labels) for one in QUESTIONS.values()) <= MAX_LOGPROB_TOKEN_IDS
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

    parser = FlexibleArgumentParser()
    ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
    model = ResolvedModel("some/model", "name", embedded=False)
    options = [*engine_options(model, [], cpu=True), *server_options([])]
    parsed = parser.parse_args(["serve", model.path, *options])
    assert parsed.model_tag == "some/model"
    assert parsed.served_model_name == ["name"]
    assert parsed.block_size == 32
    assert parsed.enforce_eager
    assert parsed.hf_overrides == {"head_dtype": "float32"}
    assert parsed.host == "127.0.0.1"
    assert parsed.enable_offline_docs
    assert parsed.middleware == ["service.gate.Gate"]
    assert not parsed.enable_log_requests
    assert parsed.load_format == "safetensors"
    assert parsed.trust_remote_code is False


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
