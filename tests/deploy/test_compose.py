"""The Compose file: hardened, its paths real; and the one command that starts it.

There is no container engine here: a program in its place notes what it was asked for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "compose"
FILE = FOLDER / "compose.yaml"
OURS = ("mentalllama-cpu", "mentalllama-gpu")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as Compose reads it: variables at their defaults, anchors merged."""
    text = re.sub(r"\$\{\w+(?::-([^}]*))?\}", lambda found: found[1] or "", FILE.read_text())
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def test_every_container_is_kept_small(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].split(":")[0] != "0", name
        assert not service.get("privileged"), name
        tag = service["image"].rpartition(":")[2]
        assert tag not in {"", "latest"}, name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} listens to others"


def test_stopping_waits_for_the_services_grace(compose: dict[str, Any]) -> None:
    for name in OURS:
        service = compose["services"][name]
        grace = float(service["environment"]["MENTALLLAMA_GRACE_SECONDS"])
        assert float(service["stop_grace_period"].removesuffix("s")) >= grace + 10


def test_prometheus_finds_the_service(compose: dict[str, Any]) -> None:
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    job = jobs["mentalllama"]
    assert job["static_configs"] == [{"targets": ["mentalllama:8000"]}]
    secret = job["authorization"]["credentials_file"]
    assert secret.rpartition("/")[2] in compose["services"]["prometheus"]["secrets"]
    for name in OURS:
        assert "mentalllama" in compose["services"][name]["networks"]["inside"]["aliases"]


def test_settings_are_the_services(compose: dict[str, Any]) -> None:
    for name in OURS:
        for variable in compose["services"][name]["environment"]:
            assert variable.removeprefix(PREFIX).lower() in Settings.model_fields, variable


def test_mounted_files_are_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("../"):
                assert (FOLDER / source).exists(), volume
                assert volume.endswith(":ro"), volume
            elif not source.startswith("./"):
                assert source in compose["volumes"], volume


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the folder, and a `docker` that notes its arguments and prints a key when asked."""
    shutil.copy(FILE, tmp_path)
    shutil.copy(FOLDER / "up.sh", tmp_path)
    engine = tmp_path / "docker"
    engine.write_text(
        "#!/usr/bin/env bash\n"
        f'echo "$*" >>"{tmp_path}/calls"\n'
        'if [[ "$*" == *"keys create"* ]]; then\n'
        f'  [ -e "{tmp_path}/broken" ] && exit 1\n'
        f'  echo "{{}}" >"{tmp_path}/secrets/keys/keys.json"; echo "mentalllama_a-key"\n'
        "fi\n"
    )
    engine.chmod(0o755)
    return tmp_path


def up(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "up.sh", *arguments],
        env={**os.environ, "DOCKER": str(folder / "docker")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_one_command_makes_what_is_missing_and_starts(folder: Path) -> None:
    done = up(folder, "cpu")
    assert done.returncode == 0, done.stderr
    calls = (folder / "calls").read_text().splitlines()
    assert calls == [
        "compose --profile cpu build",
        "compose run --rm keys create prometheus --scope metrics --file /run/keys/keys.json",
        "compose run --rm keys create first --scope analyze --scope openai"
        " --file /run/keys/keys.json",
        "compose --profile cpu up --detach --wait",
    ]
    assert (folder / "secrets" / "metrics-key").read_text() == "mentalllama_a-key"
    assert len((folder / "secrets" / "grafana-password").read_text()) > 20
    assert "mentalllama_a-key" in done.stdout


def test_a_second_start_makes_nothing_anew(folder: Path) -> None:
    up(folder, "gpu")
    password = (folder / "secrets" / "grafana-password").read_text()
    (folder / "calls").unlink()
    done = up(folder, "gpu")
    calls = (folder / "calls").read_text().splitlines()
    assert calls == ["compose --profile gpu build", "compose --profile gpu up --detach --wait"]
    assert (folder / "secrets" / "grafana-password").read_text() == password
    assert "a-key" not in done.stdout


def test_what_was_not_made_is_not_taken_for_made(folder: Path) -> None:
    (folder / "broken").touch()
    assert up(folder, "cpu").returncode == 1
    (folder / "broken").unlink()
    assert up(folder, "cpu").returncode == 0
    assert (folder / "secrets" / "metrics-key").read_text() == "mentalllama_a-key"


def test_secrets_stay_out_of_the_repository() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "-q", "deploy/compose/secrets/metrics-key"], cwd=ROOT, check=False
    )
    assert ignored.returncode == 0
