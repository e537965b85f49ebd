"""Several processes: which configuration, which command, and a start that fails."""

from __future__ import annotations

import pytest

from training.errors import TrainingError, UsageError
from training.sft import launch
from training.sft.launch import Processes, plan_processes, shipped_configurations
from training.sft.recipe_file import ACCELERATE


def test_accelerate_takes_the_configurations_that_ship() -> None:
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    known = set(vars(launch_command_parser().parse_args(["script.py"])))
    configs = {
        name: load_config_from_file(str(ACCELERATE / f"{name}.yaml"))
        for name in shipped_configurations()
    }
    for config in configs.values():
        assert isinstance(config, ClusterConfig)
        assert config.num_machines == 1
        assert set(config.fsdp_config) | set(config.deepspeed_config) <= known
    assert configs["fsdp2"].distributed_type.value == "FSDP"
    assert configs["fsdp2"].fsdp_config["fsdp_version"] == 2


def test_one_process_needs_no_launcher() -> None:
    assert plan_processes(1, None, "cpu", {}) == Processes()


@pytest.mark.parametrize(
    ("device", "name", "sharded"), [("cuda", "fsdp2", True), ("cpu", "cpu_two_processes", False)]
)
def test_the_device_has_its_own_configuration(device, name, sharded) -> None:
    planned = plan_processes(2, None, device, {})
    assert planned == Processes(2, sharded, ACCELERATE / f"{name}.yaml")


def test_a_configuration_can_be_named_or_be_a_file(tmp_path) -> None:
    assert plan_processes(2, "deepspeed_zero3", "cuda", {}).sharded
    path = tmp_path / "own.yaml"
    path.write_text("distributed_type: MULTI_GPU\nnum_processes: 8\n")
    assert plan_processes(8, str(path), "cuda", {}) == Processes(8, False, path)


@pytest.mark.parametrize("text", [None, "words", "a: 1", "a: ["])
def test_what_is_no_configuration_is_refused(text, tmp_path) -> None:
    path = tmp_path / "own.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match="cpu_two_processes, deepspeed_zero3, fsdp2"):
        plan_processes(2, str(path), "cuda", {})


def test_a_started_process_finds_itself_in_the_run() -> None:
    environment = {"WORLD_SIZE": "4", "RANK": "2", "ACCELERATE_USE_FSDP": "true"}
    assert plan_processes(1, None, "cuda", environment) == Processes(4, True, None, False)
    environment = {"WORLD_SIZE": "2", "RANK": "0"}
    assert plan_processes(1, None, "cpu", environment) == Processes(2, False, None, True)


def test_a_started_process_starts_no_others() -> None:
    with pytest.raises(UsageError, match="one of several already"):
        plan_processes(2, None, "cpu", {"WORLD_SIZE": "2"})


def test_failed_processes_are_an_error(monkeypatch) -> None:
    monkeypatch.setattr(launch, "command", lambda *_: ["accelerate", "launch", "--nonsense"])
    with pytest.raises(TrainingError, match="One of 2 processes failed"):
        launch.start(plan_processes(2, None, "cpu", {}), [])
