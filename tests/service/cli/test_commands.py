"""`tasks`, `serve`, `model`, and the command line as a program of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

import service.cli.model
import service.cli.serve
import service.launch
import service.models
from imhi.tasks import QUESTIONS, TASKS
from service.cli.exit_codes import MEANINGS, ExitCode
from service.cli.terminal import output
from service.errors import ModelError
from service.models import ResolvedModel
from tests.processes import child

PROGRAM = "import sys; sys.argv[0] = 'mentalllama'; from service.cli import main; main()"


@pytest.fixture
def trained(tmp_path) -> str:
    """Directory of a model that was trained on T-SID's wording alone."""
    (tmp_path / "config.json").write_text("{}")
    manifest = {
        "schema_version": 1,
        "name": "tuned",
        "prompt_style": "bare",
        "wording_version": "imhi-1",
        "training": {"questions": dict.fromkeys(QUESTIONS, 9) | {"mental_disorder.swmh": 0}},
    }
    (tmp_path / "mentalllama.json").write_text(json.dumps(manifest))
    return str(tmp_path)


class TestTasks:
    def test_table(self, run):
        stdout = run("tasks", "--model", "embedded-base").stdout
        assert "\x1b" not in stdout  # no colours in a pipe
        rows = [line.strip().split(maxsplit=2) for line in stdout.splitlines()]
        assert ["depression", "depression", "yes, no"] in rows
        assert ["mental_disorder", "mental_disorder.tsid", "none, suicide_or_self_harm!,"] in rows
        for question in QUESTIONS:
            assert question in stdout
        assert rows[-1][0] == "Wording"

    def test_json(self, run):
        catalogue = json.loads(run("tasks", "--json", "--model", "embedded-base").stdout)
        assert catalogue["model"] == "mentalllama-embedded-base"
        assert [task["id"] for task in catalogue["tasks"]] == list(TASKS)
        questions = [question for task in catalogue["tasks"] for question in task["questions"]]
        assert [question["id"] for question in questions] == list(QUESTIONS)
        assert questions[0]["labels"][0]["answer"] == "Yes, the poster suffers from depression."

    def test_what_a_model_was_not_trained_on_is_marked(self, run, trained):
        text = " ".join(run("tasks", "--model", trained).stdout.split())
        assert "mental_disorder.swmh* depression" in text
        assert text.count("*") == 1
        assert "swmh: The model was trained on no rows with this question; the task is" in text
        catalogue = json.loads(run("tasks", "--json", "--model", trained).stdout)
        (task,) = [one for one in catalogue["tasks"] if one["id"] == "mental_disorder"]
        assert [one["trained_rows"] for one in task["questions"]] == [9, 0]

    def test_the_embedded_models_adapter_is_asked_without_building(self, run, monkeypatch):
        monkeypatch.setattr(service.models, "build_embedded_model", None)
        catalogue = json.loads(run("tasks", "--json").stdout)
        assert catalogue["model"].startswith("mentalllama-embedded")


class TestServe:
    @pytest.fixture
    def launched(self, monkeypatch):
        calls: list[tuple[ResolvedModel, list[str]]] = []
        monkeypatch.setattr(
            service.cli.serve,
            "resolve_model",
            lambda name, announce: ResolvedModel(f"path of {name}", name, name == "embedded"),
        )
        monkeypatch.setattr(
            service.launch, "launch", lambda model, given: calls.append((model, given))
        )
        return calls

    @pytest.mark.parametrize(
        ("arguments", "model", "options"),
        [
            ((), "embedded", ()),
            (("embedded",), "embedded", ()),
            (("org/name",), "org/name", ()),
            (("--port", "9000"), "embedded", ("--port", "9000")),
            (("-tp", "2"), "embedded", ("-tp", "2")),
            (("-O3", "--api-key=x"), "embedded", ("-O3", "--api-key=x")),
            (
                ("org/name", "--port", "9000", "--max-num-seqs=8", "--", "x"),
                "org/name",
                ("--port", "9000", "--max-num-seqs=8", "--", "x"),
            ),
            (
                ("m/m", "--hf-overrides", '{"a": 1}', "--version", "--json"),
                "m/m",
                ("--hf-overrides", '{"a": 1}', "--version", "--json"),
            ),
        ],
    )
    def test_options_pass_through_untouched(self, run, launched, arguments, model, options):
        assert run("serve", *arguments).exit_code == 0
        ((resolved, given),) = launched
        assert resolved.path == f"path of {model}"
        assert given == list(options)

    @pytest.mark.parametrize("arguments", [("--", "--help=all"), ("org/name", "--help")])
    def test_help_of_vllm_needs_no_model(self, run, launched, monkeypatch, arguments):
        monkeypatch.setattr(service.cli.serve, "resolve_model", None)
        assert run("serve", *arguments).exit_code == 0
        ((_, given),) = launched
        assert given == [arguments[-1]]

    def test_help_is_ours_and_says_how_to_see_vllms(self, run, launched):
        result = run("serve", "--help")
        assert result.exit_code == 0
        assert "--help=all" in result.stdout
        assert launched == []

    @pytest.mark.parametrize("arguments", [("--model", "x"), ("org/name", "--model=x")])
    def test_the_model_has_one_place(self, run, launched, arguments):
        result = run("serve", *arguments)
        assert result.exit_code == 2
        assert "mentalllama serve MODEL" in result.stderr
        assert launched == []

    def test_a_wrong_setting_is_told_before_a_model_is_looked_for(self, run, monkeypatch):
        monkeypatch.setattr(service.cli.serve, "resolve_model", None)
        monkeypatch.setenv("MENTALLLAMA_MAX_TEXTS", "none")
        result = run("serve")
        assert result.exit_code == 2
        assert "MENTALLLAMA_MAX_TEXTS" in result.stderr

    def test_a_model_that_is_not_there_is_5(self, run):
        result = run("serve", "./nowhere")
        assert result.exit_code == 5
        assert "There is no model" in result.stderr


class TestModel:
    @pytest.fixture
    def cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MENTALLLAMA_CACHE", str(tmp_path))
        return tmp_path

    @pytest.fixture
    def built(self, monkeypatch):
        calls: list[tuple[object, bool]] = []

        def build(directory, *, model, replace, announce):
            announce("Building.")
            calls.append((directory, model, replace))
            return directory

        monkeypatch.setattr(service.cli.model, "build_embedded_model", build)
        return calls

    def test_build_prints_where(self, run, cache, built):
        result = run("model", "build")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"{cache}/mentalllama-embedded-")
        assert result.stdout.count("\n") == 1
        assert result.stderr == "Building.\n"
        assert built[0][1:] == ("embedded", False)

    def test_build_of_another_is_2(self, run, built):
        assert run("model", "build", "org/name").exit_code == 2

    def test_build_elsewhere_and_again(self, run, tmp_path, built):
        assert run("model", "build", "--output", str(tmp_path / "m"), "--force").exit_code == 0
        assert built == [(tmp_path / "m", "embedded", True)]

    def test_build_that_fails_is_5(self, run, monkeypatch):
        def fail(*_: object, **__: object) -> None:
            raise ModelError("Not installed.")

        monkeypatch.setattr(service.cli.model, "build_embedded_model", fail)
        result = run("model", "build")
        assert result.exit_code == 5
        assert result.stderr == "Error: Not installed.\n"

    def test_show_of_what_is_not_built_builds_nothing(self, run, cache, built):
        result = run("model", "show")
        assert result.exit_code == 0
        assert "not built yet" in result.stdout
        assert json.loads(run("model", "show", "--json").stdout)["built"] is False
        base = json.loads(run("model", "show", "embedded-base", "--json").stdout)
        assert (base["name"], base["built"]) == ("mentalllama-embedded-base", False)
        assert built == []
        assert list(cache.iterdir()) == []

    def test_show_of_a_model_with_a_manifest(self, run, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        manifest = {
            "schema_version": 1,
            "name": "tuned",
            "base_model": "org/base",
            "prompt_style": "chat",
            "wording_version": "imhi-1",
            "calibration": {"stress": {"temperature": 1.5}},
            "results": [
                {
                    "set": "dreaddit",
                    "split": "test",
                    "metric": "weighted_f1",
                    "value": 0.5,
                    "command": "none: a number made up for this test",
                }
            ],
            "licence": "MIT",
        }
        (tmp_path / "mentalllama.json").write_text(json.dumps(manifest))
        text = run("model", "show", str(tmp_path)).stdout
        for said in ("tuned", "org/base", "chat", "stress", "weighted_f1 0.5", "MIT"):
            assert said in text
        shown = json.loads(run("model", "show", str(tmp_path), "--json").stdout)
        assert shown["manifest"]["calibration"]["stress"]["temperature"] == 1.5
        assert shown["manifest_file"] is True
        assert shown["bytes"] == sum(path.stat().st_size for path in tmp_path.iterdir())

    def test_show_of_a_model_without_one(self, run, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        shown = json.loads(run("model", "show", str(tmp_path), "--json").stdout)
        assert shown["manifest_file"] is False
        assert shown["manifest"]["prompt_style"] == "bare"
        (tmp_path / "chat_template.jinja").touch()
        assert "none; assumed" in run("model", "show", str(tmp_path)).stdout
        shown = json.loads(run("model", "show", str(tmp_path), "--json").stdout)
        assert shown["manifest"]["prompt_style"] == "chat"

    def test_show_of_a_broken_manifest_is_5(self, run, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "mentalllama.json").write_text("[]")
        result = run("model", "show", str(tmp_path))
        assert result.exit_code == 5
        assert "mentalllama.json" in result.stderr

    def test_show_of_a_model_on_a_hub(self, run):
        assert "on the hub" in run("model", "show", "org/name").stdout
        shown = json.loads(run("model", "show", "org/name", "--json").stdout)
        assert (shown["path"], shown["built"], shown["manifest"]) == ("org/name", None, None)


class TestProgram:
    def test_help_documents_every_exit_code(self, run, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        text = " ".join(run("--help").stdout.split())
        for code in ExitCode:
            assert f"{int(code)} {MEANINGS[code]}" in text
        for command in ("serve", "analyze", "tasks", "model"):
            assert command in text

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (("tasks", "extra"), 2),
            (("nothing",), 2),
            (("analyze", "text", "--url", "http://127.0.0.1:9"), 4),
            (("analyze", "text", "--model", "./nowhere"), 5),
        ],
    )
    def test_exit_codes(self, run, arguments, code):
        assert run(*arguments).exit_code == code

    def test_without_a_model_nothing_heavy_is_imported_and_ascii_is_enough(self):
        code = (
            "import sys\n"
            "from service.cli import main\n"
            "for line in sys.argv.pop(1).splitlines():\n"
            "    sys.argv[1:] = line.split()\n"
            "    try:\n        main()\n"
            "    except SystemExit:\n        pass\n"
            "print(sorted({'torch', 'transformers', 'vllm', 'gguf'} & set(sys.modules)))"
        )
        commands = "tasks\nmodel show org/name\nserve ./nowhere\nanalyze x --url http://127.0.0.1:9"
        done = subprocess.run(
            [sys.executable, "-c", code, commands],
            capture_output=True,
            timeout=60,
            check=False,
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
        )
        assert done.stdout.endswith(b"\n[]\n"), done.stderr
        assert b"depression" in done.stdout
        assert done.stdout.isascii()
        assert b"Traceback" not in done.stderr

    def test_a_reader_that_leaves_early(self):
        command = f'"{sys.executable}" -c "{PROGRAM}" tasks --json | head -n 1'
        result = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False
        )
        assert (result.stdout, result.stderr) == ("{\n", "")

    def test_an_interruption_is_130(self, service):
        service.open.clear()
        command = [sys.executable, "-c", PROGRAM, "analyze", "text", "--url", service.url]
        pipe = subprocess.PIPE
        with child(command, stdout=pipe, stderr=pipe, text=True) as running:
            assert service.asked.wait(30)
            running.send_signal(signal.SIGINT)
            stdout, stderr = running.communicate(timeout=30)
            assert running.returncode == 130
        assert (stdout, stderr) == ("", "Waiting for the service …\nInterrupted.\n")


def test_a_pipe_is_as_wide_as_columns_says(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert output().width == 60
    monkeypatch.delenv("COLUMNS")
    assert output().width == 100
