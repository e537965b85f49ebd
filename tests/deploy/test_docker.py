"""The scripts of the images, run for real in an empty folder: there is no container engine here.

The environment of the tests stands in for vLLM's image, whose packages `install-gpu.sh` builds on;
`build-model.sh` finds the model built and only seals it. `prepare-system.sh` installs nothing.
`install-cpu.sh` downloads gigabytes and does not run here. No image is built.
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
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from service.weights import CHECKSUMS_FILE, check_directory

ROOT = Path(__file__).resolve().parents[2]
STEPS = ROOT / "deploy" / "docker"
BIN = Path(sys.executable).parent

# One installation for the tests that need it, in one worker.
installation = [pytest.mark.slow, pytest.mark.xdist_group("image")]


def run(step: str, *arguments: object, **variables: object) -> None:
    """Run one step as the Dockerfile does, without this project on the module path."""
    inherited = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [STEPS / step, *map(str, arguments)],
        env=inherited | {name: str(value) for name, value in variables.items()},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory, embedded_model: Path) -> Path:
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


class TestImage:
    pytestmark = installation

    def test_it_runs_the_wheels_code_on_the_bases_packages(self, prefix: Path) -> None:
        code = (
            "import json, service, torch; from service.adapter import shipped_adapter; "
            "found = shipped_adapter('mentalllama-embedded'); "
            "print(json.dumps([service.__file__, torch.__file__, str(found / 'baseline.json')]))"
        )
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        out = subprocess.run(
            [prefix / "bin" / "python", "-c", code],
            cwd="/",
            env=clean,
            capture_output=True,
            text=True,
            check=True,
        )
        ours, torchs, baseline = map(Path, json.loads(out.stdout))
        assert ours.is_relative_to(prefix)
        assert not torchs.is_relative_to(prefix)
        assert baseline.is_relative_to(prefix)
        assert baseline.is_file()

    def test_it_holds_every_file_of_the_packages(self, prefix: Path) -> None:
        (packages,) = prefix.glob("lib/python3*/site-packages")
        files = [
            path.relative_to(ROOT)
            for package in ("imhi", "service", "training")
            for path in (ROOT / package).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        ]
        assert any(path.suffix == ".yaml" for path in files)
        assert [path for path in files if not (packages / path).is_file()] == []

    def test_the_model_inside_is_whole_and_sealed(self, prefix: Path) -> None:
        model = prefix / "model"
        assert (model / CHECKSUMS_FILE).read_text().count("\n") == len(list(model.iterdir())) - 1
        check_directory(model)
        assert all(path.stat().st_mode & stat.S_IROTH for path in model.iterdir())

    def test_nothing_that_installs_or_compiles_stays(self, prefix: Path) -> None:
        left = {path.name for path in prefix.rglob("*")}
        assert not left & {"pip", "pip3", "uv", "gcc", "g++", "cc", "wheels"}
        assert not [name for name in left if name.endswith(".gguf")]

    def test_the_bill_of_materials_names_the_packages(self, prefix: Path) -> None:
        bill = json.loads((prefix / "sbom.cdx.json").read_text())
        assert bill["bomFormat"] == "CycloneDX"
        listed = {canonicalize_name(part["name"]) for part in bill["components"]}
        assert {"mentalllama", "fastapi", "torch", "transformers"} <= listed


def test_the_user_has_a_number_no_shell_and_one_folder(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group"):
        (tmp_path / "etc" / name).write_text("root:x:0:\n")
    for _ in range(2):  # the second finds the user there
        run("prepare-system.sh", "cpu", ROOT=tmp_path)
    lines = (tmp_path / "etc" / "passwd").read_text().splitlines()
    assert lines[1:] == ["mentalllama:x:10001:10001::/cache:/usr/sbin/nologin"]
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700


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
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(("answering", "code"), [(200, 0), (503, 1)], indirect=["answering"])
def test_the_health_check_tells_by_its_exit_code(answering: int, code: int) -> None:
    check = [sys.executable, STEPS / "healthcheck.py", "/readyz"]
    for port, expected in ((answering, code), (1, 1)):
        environment = {**os.environ, "PORT": str(port)}
        assert subprocess.run(check, env=environment, check=False).returncode == expected


def test_shellcheck_finds_nothing() -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed; on Debian: apt-get install shellcheck")
    scripts = [*ROOT.glob("deploy/*/*.sh"), ROOT / ".ci" / "run"]
    done = subprocess.run([program, *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_gpu_image_builds_on_the_locked_vllm() -> None:
    lock = (ROOT / "requirements" / "gpu.txt").read_text()
    (version,) = re.findall(r"^vllm==([\w.]+)", lock, re.MULTILINE)
    assert f"VLLM_IMAGE=vllm/vllm-openai:v{version}\n" in (ROOT / "Dockerfile").read_text()
