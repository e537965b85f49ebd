"""What a wheel of this project holds: every package, every file beside the code, the adapter."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from scripts import imports
from tests.adapters import write_adapter

ROOT = Path(__file__).resolve().parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PACKAGES = ("imhi", "service", "training")


def test_every_package_is_named() -> None:
    named = set(SETUPTOOLS["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for _, path in imports.modules(ROOT)
        if path.relative_to(ROOT).parts[0] in PACKAGES
    }
    assert named == found | {"mentalllama_models"}


def test_nothing_of_a_package_is_ignored() -> None:
    """A folder that git ignores is not in a clone: `build/` would hide `training/build`."""
    files = [
        str(path.relative_to(ROOT))
        for folder in (*PACKAGES, "tests", "scripts", "models", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    ]
    command = ["git", "check-ignore", "--stdin", "-z", "--no-index"]
    done = subprocess.run(
        command, cwd=ROOT, input="\0".join(files), capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr  # 1 where nothing is ignored
    assert done.stdout.split("\0")[:-1] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a checkout that has a small adapter, unpacked."""
    checkout = tmp_path_factory.mktemp("checkout")
    unwanted = shutil.ignore_patterns("__pycache__", "mentalllama-embedded")
    for name in (*PACKAGES, "models"):
        shutil.copytree(ROOT / name, checkout / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, checkout)
    write_adapter(checkout / "models" / "mentalllama-embedded")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", "out", "."]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    (built,) = (checkout / "out").glob("*.whl")
    unpacked = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(unpacked)
    return unpacked


def test_wheel_holds_what_lies_beside_the_code(wheel: Path) -> None:
    beside = {
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert any(path.suffix == ".yaml" for path in beside)
    assert sorted(path for path in beside if not (wheel / path).is_file()) == []


def test_the_adapter_is_found_in_a_wheel(wheel: Path) -> None:
    source = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from service.models import manifest_of\n"
        "from service.adapter import shipped_adapter\n"
        "print(shipped_adapter('mentalllama-embedded'), manifest_of('embedded').notes)"
    )
    command = [sys.executable, "-P", "-c", source, str(wheel)]
    done = subprocess.run(command, cwd=wheel, capture_output=True, text=True, check=True)
    place, _, notes = done.stdout.strip().partition(" ")
    assert Path(place) == wheel / "mentalllama_models" / "mentalllama-embedded"
    assert notes == "Written for a test."
