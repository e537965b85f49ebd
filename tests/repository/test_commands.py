"""The commands of the Makefile, CI and the pre-commit hooks: present, documented, local."""

import os
import re
import stat
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def make(*arguments: str, **variables: str) -> str:
    # Without the variables of a make that runs these tests.
    ours = ("MAKE", "MFLAGS", "ARGS", "BUILD", "DATA", "MODEL", "PYTHON", "MENTALLLAMA_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_help_lists_every_command() -> None:
    listed = {line.split()[0] for line in make("help").splitlines() if line.startswith("  ")}
    assert listed == targets()
    wanted = {"help", "serve", "test", "check", "format", "openapi", "lock", "setup", "clean"}
    assert wanted | {"train-embedded"} <= listed


def test_help_is_what_make_alone_says() -> None:
    assert make() == make("help")


def test_every_command_is_phony() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == targets()


@pytest.mark.parametrize(
    "command", ["serve", "test", "check", "format", "openapi", "lock", "train-embedded"]
)
def test_commands_make_the_environment_first(command: str) -> None:
    lines = make("--dry-run", command).splitlines()
    assert "scripts/install.py --build auto" in lines[0]
    assert all(".venv/bin/" in line for line in lines[1:])


def test_build_model_and_options_reach_the_server() -> None:
    printed = make("--dry-run", "serve", "BUILD=gpu", "MODEL=m", "ARGS=--port 1")
    install, serve = [" ".join(line.split()) for line in printed.splitlines()]
    assert install == "python3 scripts/install.py --build gpu"
    assert serve == ".venv/bin/mentalllama serve m --port 1"


def test_data_and_options_reach_the_training() -> None:
    _, train = make("--dry-run", "train-embedded", "DATA=a b", "ARGS=--dry-run").splitlines()
    assert train == '.venv/bin/python scripts/train_embedded.py --data "a b" --dry-run'


def test_variable_sets_the_build() -> None:
    assert "--build gpu" in make("--dry-run", "setup", MENTALLLAMA_BUILD="gpu")


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert [line for line in lines if line.startswith("make ")] == ["make check", "make test"]


def test_hooks_are_local_and_call_the_locked_tools() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in repo["hooks"])
    ids = {hook["id"] for hook in repo["hooks"]}
    assert ids == {
        *("ruff-check", "ruff-format", "mypy", "typos", "imports", "openapi", "recipes"),
        "reference",
        "audit",
    }


def test_entry_points_lead_somewhere() -> None:
    plugins = PROJECT["entry-points"]["vllm.endpoint_plugins"]
    for target in (*PROJECT["scripts"].values(), *plugins.values()):
        module, name = target.split(":")
        assert callable(getattr(import_module(module), name))
