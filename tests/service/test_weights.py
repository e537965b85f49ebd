"""A model's files before they are loaded, and options that would run a model's own code."""

from __future__ import annotations

import hashlib
from argparse import Namespace
from pathlib import Path

import pytest

from service.errors import InvalidRequestError, ModelError
from service.launch import launch
from service.local import open_client
from service.models import ResolvedModel
from service.weights import CHECKSUMS_FILE, check_directory, refuse_code

WEIGHTS = "model.safetensors"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory with checksums of all that is in it."""
    for name in ("config.json", WEIGHTS):
        (tmp_path / name).write_text(f"content of {name}")
    seal(tmp_path, "config.json", WEIGHTS)
    return tmp_path


def seal(directory: Path, *names: str) -> None:
    lines = [
        f"{hashlib.sha256((directory / name).read_bytes()).hexdigest()}  {name}\n" for name in names
    ]
    (directory / CHECKSUMS_FILE).write_text("".join(lines))


def test_a_whole_model_passes_with_and_without_checksums(model: Path) -> None:
    check_directory(model)
    (model / CHECKSUMS_FILE).unlink()
    (model / WEIGHTS).write_text("something else")
    check_directory(model)


def test_an_id_on_a_hub_passes() -> None:
    check_directory(Path("org/model"))


def test_a_changed_file_is_named(model: Path) -> None:
    (model / "config.json").write_text("changed")
    with pytest.raises(ModelError, match=r"config\.json has another checksum"):
        check_directory(model)


def test_a_missing_file_is_named(model: Path) -> None:
    (model / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        check_directory(model)


def test_weights_that_the_checksums_do_not_name_are_refused(model: Path) -> None:
    (model / "another.safetensors").write_text("who knows")
    with pytest.raises(ModelError, match=r"does not name another\.safetensors"):
        check_directory(model)


def test_checksums_name_files_of_the_directory_alone(model: Path) -> None:
    (model.parent / "outside").write_text("x")
    (model / CHECKSUMS_FILE).write_text(f"{'0' * 64}  ../outside\n")
    with pytest.raises(ModelError, match="outside the directory"):
        check_directory(model)


def test_checksums_that_are_no_text_are_refused(model: Path) -> None:
    (model / CHECKSUMS_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="cannot be read"):
        check_directory(model)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_pickled_weights_alone_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match=r"pickled.*safetensors"):
        check_directory(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"")
    check_directory(tmp_path)


@pytest.mark.parametrize("format_", ["auto", "hf", "pt", "npcache"])
def test_formats_with_pickles_are_refused(format_: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"load-format {format_}"):
        refuse_code(Namespace(trust_remote_code=False, load_format=format_), "org/model")


def test_code_of_a_models_own_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="trust-remote-code"):
        refuse_code(Namespace(trust_remote_code=True, load_format="safetensors"), "org/model")


def test_what_runs_no_code_passes() -> None:
    refuse_code(Namespace(trust_remote_code=False, load_format="safetensors"), "org/model")
    refuse_code(Namespace(trust_remote_code=False, load_format="dummy"), "org/model")
    refuse_code(Namespace(trust_remote_code=False, load_format="auto"), "s3://bucket/model")
    with pytest.raises(InvalidRequestError):
        refuse_code(Namespace(trust_remote_code=False, load_format="pt"), "s3://bucket/model")


async def test_a_damaged_model_reaches_no_engine(model: Path) -> None:
    (model / WEIGHTS).write_text("changed")
    resolved = ResolvedModel(str(model), "name", embedded=False)
    with pytest.raises(ModelError, match="another checksum"):
        launch(resolved, [])
    with pytest.raises(ModelError, match="another checksum"):
        async with open_client(resolved):
            pass
