"""What is taken, what is refused, and that a directory is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from training.errors import ModelFilesError, UsageError
from training.export.files import (
    REPORT_FILE,
    check_replaceable,
    copy_papers,
    inspect,
    new_directory,
    seal,
    write_checksums,
)


def directory(path: Path, *held: str) -> Path:
    path.mkdir()
    for name in held:
        (path / name).write_text("{}")
    return path


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


@pytest.mark.parametrize(
    "held",
    [
        ("config.json", "pytorch_model.bin"),
        ("config.json", "pytorch_model-00001-of-00002.bin"),
        ("config.json", "model.pt"),
        ("config.json", "consolidated.00.pth"),
        ("config.json", "model.PKL"),
        ("adapter_config.json", "adapter_model.bin"),
    ],
)
def test_pickles_are_refused_with_the_way_out(tmp_path, held):
    with pytest.raises(ModelFilesError) as caught:
        inspect(directory(tmp_path / "a", *held))
    assert held[1] in caught.value.message
    assert "are refused" in caught.value.message
    assert "weights_only=True" in caught.value.message


def test_what_is_not_whole_is_refused(tmp_path):
    with pytest.raises(ModelFilesError, match="is no directory"):
        inspect(tmp_path / "absent")
    with pytest.raises(ModelFilesError, match="holds neither"):
        inspect(directory(tmp_path / "a", "model.safetensors"))
    with pytest.raises(ModelFilesError, match=r"model\.safetensors is missing"):
        inspect(directory(tmp_path / "b", "config.json"))
    split = directory(tmp_path / "c", "config.json", "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (split / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFilesError, match=r"model-2\.safetensors is missing"):
        inspect(split)


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/x.safetensors", "a.bin", 3])
def test_an_index_that_leads_out_is_refused(tmp_path, name):
    path = directory(tmp_path / "a", "config.json")
    index = {"weight_map": {"a": name}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFilesError, match="no safetensors files beside it"):
        inspect(path)


def test_licences_are_taken_along(tmp_path):
    first = directory(tmp_path / "a", "LICENSE", "config.json")
    second = directory(tmp_path / "b", "LICENSE", "NOTICE", "USE_POLICY.md")
    (first / "LICENSE").write_text("the first")
    target = directory(tmp_path / "c")
    assert copy_papers([first, second], target) == ("LICENSE", "NOTICE", "USE_POLICY.md")
    assert (target / "LICENSE").read_text() == "the first"
    other = directory(tmp_path / "d")
    assert copy_papers([first], other, "BASE-") == ("BASE-LICENSE",)
    assert copy_papers([other], directory(tmp_path / "e"), "BASE-") == ("BASE-LICENSE",)


def test_links_are_followed_within_a_cache_and_not_out_of_it(tmp_path):
    blobs = tmp_path / "models--org--name" / "blobs"
    snapshot = tmp_path / "models--org--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "123").write_text("a licence")
    (snapshot / "LICENSE").symlink_to(blobs / "123")
    target = directory(tmp_path / "target")
    copy_papers([snapshot], target)
    assert (target / "LICENSE").read_text() == "a licence"
    assert not (target / "LICENSE").is_symlink()
    (tmp_path / "secret").write_text("of another")
    (snapshot / "NOTICE").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelFilesError, match="leads out of its directory"):
        copy_papers([snapshot], target)


def test_a_directory_appears_when_it_is_done(tmp_path):
    target = tmp_path / "out"
    with new_directory(target) as part:
        (part / "file").write_text("new")
        assert not target.exists()
    assert (target / "file").read_text() == "new"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ModelFilesError("no")])
def test_what_is_interrupted_leaves_nothing(tmp_path, error):
    target = directory(tmp_path / "out", "old")

    def write_half() -> None:
        with new_directory(target) as part:
            (part / "file").write_text("half")
            raise error

    with pytest.raises((KeyboardInterrupt, ModelFilesError)):
        write_half()
    assert names(tmp_path) == ["out"]
    assert names(target) == ["old"]


def test_what_a_killed_export_left_is_removed(tmp_path):
    directory(tmp_path / ".out.0123.part", "half")
    directory(tmp_path / ".other.0123.part", "of another export")
    with new_directory(tmp_path / "out"):
        pass
    assert names(tmp_path) == [".other.0123.part", "out"]


def test_only_an_export_is_replaced(tmp_path):
    check_replaceable(tmp_path / "absent", replace=False)
    check_replaceable(directory(tmp_path / "empty"), replace=False)
    other = directory(tmp_path / "other", "thesis.tex")
    with pytest.raises(UsageError, match="did not write"):
        check_replaceable(other, replace=True)
    export = directory(tmp_path / "export", REPORT_FILE)
    with pytest.raises(UsageError, match="--replace"):
        check_replaceable(export, replace=False)
    check_replaceable(export, replace=True)


def test_checksums_are_what_sha256sum_checks(tmp_path):
    path = directory(tmp_path / "a", "one", "two")
    (path / ".hidden").write_text("x")
    write_checksums(path)
    text = (path / "checksums.sha256").read_text()
    assert text.splitlines()[0] == f"{hashlib.sha256(b'{}').hexdigest()}  one"
    assert "hidden" not in text
    check = ["sha256sum", "--check", "--strict", "checksums.sha256"]
    assert subprocess.run(check, cwd=path, capture_output=True).returncode == 0
    (path / "two").write_text("{ }")
    assert subprocess.run(check, cwd=path, capture_output=True).returncode == 1


def test_sealing_refuses_pickles_and_opens_files_to_others(tmp_path):
    path = directory(tmp_path / "a", "model.safetensors")
    path.chmod(0o755)
    (path / "model.safetensors").chmod(0o600)
    seal(path)
    assert (path / "model.safetensors").stat().st_mode & 0o777 == 0o644
    (path / "extra.pt").write_text("")
    with pytest.raises(ModelFilesError):
        seal(path)
