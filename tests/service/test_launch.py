"""Options and environment that vLLM is started with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from service import launch
from service.launch import (
    engine_options,
    environment,
    has_option,
    option_value,
    server_options,
)
from service.models import ResolvedModel
from service.settings import Settings

HUB = ResolvedModel("org/model", "model", embedded=False)
EMBEDDED = ResolvedModel("/cache/mentalllama-embedded", "mentalllama-embedded", embedded=True)


def test_defaults_give_way_to_the_users_options() -> None:
    given = ["--block-size=64", "--no-enforce-eager", "--hf_overrides", "{}", "--seed", "1"]
    given += ["--structured-outputs-config.backend", "xgrammar"]
    options = engine_options(HUB, given, cpu=True)
    assert options[: len(given)] == given
    assert options[len(given) :] == [
        *("--served-model-name", "model", "--load-format", "safetensors"),
    ]


def test_a_gpu_keeps_vllms_own_block_size_and_compilation() -> None:
    options = engine_options(HUB, [], cpu=False)
    assert "--block-size" not in options
    assert "--enforce-eager" not in options


@pytest.mark.parametrize(("flags", "tokens"), [("avx512_bf16", "16"), ("avx512f amx_tile", "32")])
def test_a_cpu_gets_the_shortest_blocks_that_its_kernel_takes(
    monkeypatch, flags: str, tokens: str
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"flags\t\t: {flags}\n")
    options = engine_options(HUB, [], cpu=True)
    assert options[options.index("--block-size") + 1] == tokens


@pytest.mark.parametrize(
    "given",
    [
        ["--no-enforce-eager"],
        ["--compilation-config", "{}"],
        ["-cc.mode=3"],
        ["--optimization_level=1"],
        ["-O1"],
    ],
)
def test_a_cpu_compiles_only_where_the_user_configures_it(given: list[str]) -> None:
    assert "--enforce-eager" in engine_options(EMBEDDED, ["--seed", "1"], cpu=True)
    assert "--enforce-eager" not in engine_options(EMBEDDED, given, cpu=True)


def test_the_embedded_model_is_float32_where_bfloat16_is_slow(monkeypatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "flags\t\t: fma avx2\n")
    options = engine_options(EMBEDDED, [], cpu=True)
    assert options[options.index("--dtype") + 1] == "float32"
    assert engine_options(EMBEDDED, ["--dtype", "half"], cpu=True).count("--dtype") == 1
    # The memory for twice the weights of any model is not ours to spend.
    assert "--dtype" not in engine_options(HUB, [], cpu=True)
    assert "--dtype" not in engine_options(EMBEDDED, [], cpu=False)


def test_the_embedded_model_is_float32_on_intel_without_amx(monkeypatch) -> None:
    for flags, dtype in (("avx512f avx512_bf16", True), ("avx512_bf16 amx_bf16", False)):
        text = f"vendor_id\t: GenuineIntel\nflags\t\t: {flags}\n"
        monkeypatch.setattr(Path, "read_text", lambda *_, text=text, **__: text)
        assert ("--dtype" in engine_options(EMBEDDED, [], cpu=True)) is dtype


def test_only_safetensors_are_loaded() -> None:
    assert engine_options(HUB, [], cpu=False)[-2:] == ["--load-format", "safetensors"]
    streamed = ResolvedModel("s3://bucket/model", "model", embedded=False)
    assert "--load-format" not in engine_options(streamed, [], cpu=False)


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        (["--host", "0.0.0.0"], "--host", True),
        (["--host=0.0.0.0"], "--host", True),
        (["--hosts", "x"], "--host", False),
        (["--block_size", "64"], "--block-size", True),
        (["--hf-overrides.head_dtype", "model"], "--hf-overrides", True),
        (["--no-enforce-eager"], "--enforce-eager", True),
        (["--name", "--host"], "--host", True),
        ([], "--host", False),
    ],
)
def test_options_are_found_in_every_spelling(given: list[str], name: str, expected: bool) -> None:
    assert has_option(given, name) is expected


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ([], "default"),
        (["--host", "0.0.0.0"], "0.0.0.0"),
        (["--host=::"], "::"),
        (["--host", "127.0.0.1", "--host", "10.0.0.1"], "10.0.0.1"),
        (["--host="], ""),
        (["--host"], ""),
        (["--hosts", "x"], "default"),
    ],
)
def test_the_value_of_an_option(given: list[str], value: str) -> None:
    assert option_value(given, "--host", "default") == value


def test_the_server_listens_on_this_machine_alone_unless_told_otherwise() -> None:
    assert server_options([], Settings())[:2] == ["--host", "127.0.0.1"]
    assert "127.0.0.1" not in server_options(["--host", "0.0.0.0"], Settings())
    assert "--host" not in server_options(["--uds", "socket"], Settings())


def test_the_users_chat_template_stays() -> None:
    options = server_options([], Settings(), "{{ x }}")
    assert options[options.index("--chat-template") + 1] == "{{ x }}"
    assert "--chat-template" not in server_options([], Settings())
    assert "{{ x }}" not in server_options(["--chat-template", "y.jinja"], Settings(), "{{ x }}")


def test_no_line_of_the_log_holds_a_url() -> None:
    assert "--disable-uvicorn-access-log" in server_options([], Settings())


def test_vllm_gives_the_api_servers_their_grace_period() -> None:
    options = server_options([], Settings(grace_seconds=40.5))
    assert options[options.index("--shutdown-timeout") + 1] == "51"
    assert "--shutdown-timeout" not in server_options(["--shutdown-timeout=5"], Settings())


def test_vllms_lines_follow_the_form_of_ours() -> None:
    json_lines = Settings(log_format="json")
    assert "--logging-config.formatter" not in server_options([], Settings())
    options = server_options([], json_lines)
    assert options[options.index("--logging-config.formatter") + 1] == "json"
    given = ["--logging-config.log_level", "DEBUG"]
    assert "--logging-config.formatter" not in server_options(given, json_lines)


def test_the_gate_is_the_outermost_layer() -> None:
    given = ["--middleware", "other.Layer"]
    assert server_options(given, Settings())[-2:] == ["--middleware", "service.gate.Gate"]


def test_the_plugin_is_named_beside_whatever_would_have_been_loaded() -> None:
    assert environment(HUB, {"VLLM_PLUGINS": "mine"}, cpu=False)["VLLM_PLUGINS"] == (
        "mine,mentalllama"
    )
    names = environment(HUB, {}, cpu=False)["VLLM_PLUGINS"].split(",")
    assert names.count("mentalllama") == 1


def test_nothing_is_reported_and_a_local_model_needs_no_hub(tmp_path) -> None:
    variables = environment(HUB, {}, cpu=False)
    assert variables["VLLM_NO_USAGE_STATS"] == variables["DO_NOT_TRACK"] == "1"
    assert "HF_HUB_OFFLINE" not in variables
    local = ResolvedModel(str(tmp_path), "model", embedded=False)
    assert environment(local, {}, cpu=False)["HF_HUB_OFFLINE"] == "1"


def test_variables_of_the_users_stay(tmp_path) -> None:
    present = {
        "VLLM_CPU_KVCACHE_SPACE": "8",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "0",
        "LD_PRELOAD": "libiomp5.so",
    }
    local = ResolvedModel(str(tmp_path), "model", embedded=False)
    assert not present.keys() & environment(local, present, cpu=True).keys()


@pytest.mark.parametrize(("cores", "bound"), [({0, 1}, "0,1"), ({3}, "3"), ({0, 1, 2, 3}, None)])
def test_few_cores_all_work_for_the_model(monkeypatch, cores: set[int], bound: str | None) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: cores)
    variables = environment(HUB, {}, cpu=True)
    assert variables.get("VLLM_CPU_OMP_THREADS_BIND") == bound
    # One process for scheduler and model, whose threads vLLM then does not set.
    assert variables.get("VLLM_ENABLE_V1_MULTIPROCESSING") == (bound and "0")
    assert variables.get("OMP_NUM_THREADS") == (bound and str(len(cores)))


def test_launch_replaces_the_process_by_the_server(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr("os.execve", lambda *call: calls.append(call))
    monkeypatch.setattr(launch, "runs_on_cpu", lambda: True)
    launch.launch(HUB, ["--port", "9000"])
    ((program, command, variables),) = calls
    assert program == command[0] == sys.executable
    assert command[1:5] == ["-P", "-m", "service.server", "org/model"]
    assert command[command.index("--port") + 1] == "9000"
    assert variables["MENTALLLAMA_MODEL_NAME"] == "model"
    assert variables["VLLM_CPU_KVCACHE_SPACE"] == "2"
