"""`mentalllama analyze`: options to a request, a response to a terminal, errors to exit codes."""

from __future__ import annotations

import json
import socket
import threading

import pytest
import uvicorn
from fastapi import FastAPI

from imhi.tasks import QUESTIONS, TASKS
from service.analysis.types import Cut, DecisionPolicy, Explain, Options, Truncation
from service.api import attach
from service.api.schemas import AnalyzeResponse
from service.api.state import ServiceState
from service.errors import EngineError, ModelError, TextTooLongError
from service.settings import Settings

TEXT = "I lie awake again and count the hours."


class TestRequest:
    """The request that goes to a service."""

    def test_only_what_was_chosen_is_sent(self, run, service):
        assert run("analyze", TEXT, "--url", service.url).exit_code == 0
        assert service.last.body == {"text": TEXT}

    def test_every_option_has_its_field(self, run, service):
        result = run(
            *("analyze", TEXT, "--url", service.url),
            *("--tasks", "stress, loneliness", "--tasks", "wellness"),
            *("--explain", "positive", "--explanation-tokens", "64", "--no-consistency"),
            *("--truncation", "middle", "--abstention-band", "0.4,0.6"),
            *("--min-probability", "0.5", "--min-label-mass", "0.01"),
            *("--threshold", "stress.yes=0.7", "--threshold", "mental_disorder.swmh.suicide=.2"),
            *("--threshold", "stress.no=0.1", "--model", "an-adapter"),
        )
        assert result.exit_code == 0, result.stderr
        assert service.last.body == {
            "text": TEXT,
            "tasks": ["stress", "loneliness", "wellness"],
            "explain": "positive",
            "explanation_tokens": 64,
            "consistency": False,
            "truncation": "middle",
            "abstention_band": [0.4, 0.6],
            "min_probability": 0.5,
            "min_label_mass": 0.01,
            "thresholds": {
                "stress": {"yes": 0.7, "no": 0.1},
                "mental_disorder.swmh": {"suicide": 0.2},
            },
            "model": "an-adapter",
        }

    @pytest.mark.parametrize(
        ("stdin", "text"),
        [
            (TEXT, TEXT),
            (f"{TEXT}\n", TEXT),
            (f"{TEXT}\r\n", TEXT),
            (f"\n {TEXT}\n\n", f"\n {TEXT}\n"),
            ("naïve café 😀\n", "naïve café 😀"),
        ],
    )
    def test_standard_input_without_its_last_line_break(self, run, service, stdin, text):
        run("analyze", "-", "--url", service.url, stdin=stdin.encode())
        assert service.last.body["text"] == text

    def test_a_text_that_starts_with_a_hyphen(self, run, service):
        run("analyze", "--url", service.url, "--", "- said nobody")
        assert service.last.body["text"] == "- said nobody"


class TestInProcess:
    """The same request, answered by a model loaded here."""

    def test_all_questions_by_default(self, run, analyzer):
        result = run("analyze", "-", stdin=TEXT)
        assert result.exit_code == 0, result.stderr
        assert analyzer.calls[0][0] == TEXT
        assert analyzer.calls[-1][1] == tuple(QUESTIONS.values())
        assert analyzer.calls[-1][2] == Options()
        assert analyzer.released == 1
        assert "Loading embedded" in result.stderr
        assert "Loading" not in result.stdout

    def test_options_reach_the_analyzer(self, run, analyzer):
        run(
            *("analyze", TEXT, "--tasks", "stress", "--explain", "never"),
            *("--explanation-tokens", "64", "--no-consistency", "--truncation", "tail"),
            *("--abstention-band", "0.4,0.6", "--threshold", "stress.yes=0.7"),
        )
        assert analyzer.calls[-1][1] == TASKS["stress"].questions
        assert analyzer.calls[-1][2] == Options(
            explain=Explain.NEVER,
            explanation_tokens=64,
            consistency=False,
            truncation=Truncation.TAIL,
            policy=DecisionPolicy(thresholds={"stress": {"yes": 0.7}}, abstention_band=(0.4, 0.6)),
        )

    def test_the_named_model_is_loaded(self, run, analyzer):
        run("analyze", TEXT, "--model", "org/name")
        assert [model.name for model in analyzer.models] == ["org/name"]

    def test_json_is_the_response_of_the_service(self, run, analyzer):
        result = run("analyze", TEXT, "--json", "--tasks", "stress,mental_disorder")
        response = AnalyzeResponse.model_validate_json(result.stdout)
        assert response.model == "fake-model"
        assert [answer.question for answer in response.results[0].answers] == [
            "stress",
            "mental_disorder.tsid",
            "mental_disorder.swmh",
        ]
        for answer in response.results[0].answers:
            assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-12)
            (evidence,) = answer.evidence
            assert TEXT[evidence.start : evidence.end] == evidence.quote == "I"
        assert response.usage.cached_tokens == 60
        assert "no diagnosis" in response.notice
        assert response.resources is None

    def test_settings_of_the_deployment_hold_here_too(self, run, analyzer, monkeypatch):
        monkeypatch.setenv("MENTALLLAMA_NOTICE", "Ask a person.")
        monkeypatch.setenv("MENTALLLAMA_MAX_CHARACTERS", "10")
        assert "Ask a person." in run("analyze", "Short.").stdout
        result = run("analyze", TEXT)
        assert result.exit_code == 3
        assert "38 characters" in result.stderr

    def test_what_was_cut_is_said(self, run, analyzer):
        analyzer.cuts = (Cut(8000, 9500),)
        result = run("analyze", TEXT, "--truncation", "middle")
        assert "8000 to 9500" in result.stdout


class TestRealService:
    """The service's own routes with the fake model behind them, on a port."""

    @pytest.fixture
    def url(self, analyzer):
        async def alive() -> None:
            pass

        api = FastAPI()
        attach(api)
        api.state.mentalllama = ServiceState(analyzer, Settings(), alive)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()  # from here on a connection waits until the server is up
            server = uvicorn.Server(uvicorn.Config(api, log_level="error"))
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            thread.join()

    def test_says_what_the_process_itself_says(self, run, url, analyzer):
        analyzer.abstains = True
        arguments = (
            *("analyze", "-", "--json", "--tasks", "stress,wellness", "--explain", "positive"),
            *("--abstention-band", "0.4,0.6", "--threshold", "stress.yes=0.7"),
            *("--min-probability", "0.8", "--truncation", "head", "--no-consistency"),
        )
        here = json.loads(run(*arguments, stdin=TEXT).stdout)
        there = json.loads(run(*arguments, "--url", url, stdin=TEXT).stdout)
        assert here.pop("id") != there.pop("id")
        assert here == there
        assert there["results"][0]["answers"][0]["abstained"] is True


class TestJson:
    def test_is_passed_on_whole(self, run, service):
        service.response["new_in_a_later_release"] = {"x": ["naïve 😀"]}
        result = run("analyze", TEXT, "--url", service.url, "--json")
        assert json.loads(result.stdout) == service.response
        assert "naïve 😀" in result.stdout


class TestFailures:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("--tasks", ","),
            ("--tasks", "stress", "--questions", "stress"),
            ("--explain", "sometimes"),
            ("--explanation-tokens", "100000"),
            ("--abstention-band", "0.5"),
            ("--abstention-band", "low,high"),
            ("--min-probability", "1.5"),
            ("--threshold", "stress.yes"),
            ("--threshold", "stress=0.5"),
            ("--threshold", ".yes=0.5"),
            ("--threshold", "stress.yes=most"),
            ("--threshold", "nothing.yes=0.5"),
            ("--nothing",),
            ("--url", "localhost:8000"),
            ("--url", "http://localhost:8000", "--timeout", "0"),
        ],
    )
    def test_wrong_usage_is_2_before_anything_is_loaded(self, run, analyzer, arguments):
        result = run("analyze", TEXT, *arguments)
        assert result.exit_code == 2
        assert result.stderr
        assert result.stdout == ""
        assert analyzer.models == []
        assert TEXT not in result.stderr

    @pytest.mark.parametrize("stdin", ["", " \n\t ", "\n"])
    def test_an_empty_text_is_2(self, run, analyzer, stdin):
        result = run("analyze", "-", stdin=stdin)
        assert result.exit_code == 2
        assert "empty" in result.stderr
        assert analyzer.models == []

    def test_no_text_is_2(self, run):
        assert run("analyze").exit_code == 2

    @pytest.mark.parametrize("arguments", [("-",), ("\udcff",)])
    def test_what_is_not_utf8_is_2(self, run, analyzer, arguments):
        result = run("analyze", *arguments, stdin=b"\xff\xfe latin")
        assert result.exit_code == 2
        assert "UTF-8" in result.stderr

    @pytest.mark.parametrize(
        ("failure", "code", "said"),
        [
            (EngineError("The engine died."), 1, "Error: The engine died.\n"),
            (TextTooLongError("Too many tokens."), 3, "Error: Too many tokens.\n"),
            (ModelError("Cannot be loaded."), 5, "Error: Cannot be loaded.\n"),
            (KeyboardInterrupt(), 130, "Interrupted.\n"),
        ],
    )
    def test_of_the_analysis(self, run, analyzer, failure, code, said):
        analyzer.failure = failure
        result = run("analyze", TEXT)
        assert result.exit_code == code
        assert result.stderr.endswith(said)
        assert result.stdout == ""
        assert analyzer.released == 1

    def test_unexpected_ones_are_one_line_without_the_text(self, run, analyzer):
        analyzer.failure = ValueError(f"cannot parse {TEXT}")
        result = run("analyze", TEXT)
        assert result.exit_code == 1
        assert "Traceback" not in result.stderr
        assert TEXT not in result.stderr

    def test_the_deployments_policy_holds_in_process_too(
        self, run, analyzer, monkeypatch, tmp_path
    ):
        file = tmp_path / "policy.json"
        file.write_text('{"min_probability": 0.7}')
        monkeypatch.setenv("MENTALLLAMA_DECISION_POLICY", str(file))
        assert run("analyze", TEXT).exit_code == 0
        assert analyzer.policies[0].min_probability == 0.7

    def test_unexpected_ones_outside_of_the_analysis_too(self, run, analyzer, monkeypatch):
        def broken(_: object, *, policy: object) -> None:
            raise ValueError(f"cannot load {TEXT}")

        monkeypatch.setattr("service.local.open_analyzer", broken)
        result = run("analyze", TEXT)
        assert result.exit_code == 1
        last = result.stderr.splitlines()[-1]
        assert last.startswith("Internal error: ValueError at test_analyze.py:")
        assert "report" in last
        assert "Traceback" not in result.stderr
        assert TEXT not in result.stderr

    @pytest.mark.parametrize(
        ("status", "error", "code"),
        [
            (422, "invalid_request", 2),
            (422, "unknown_name", 2),
            (422, "empty_text", 2),
            (422, "text_too_long", 3),
            (413, "body_too_large", 3),
            (404, "not_found", 4),
            (503, "not_ready", 4),
            (503, "overloaded", 4),
            (429, "from_another_release", 4),
            (502, "engine_error", 1),
            (500, "internal_error", 1),
            (500, "model_error", 5),
        ],
    )
    def test_of_the_service(self, run, service, status, error, code):
        service.status = status
        service.response = {"error": {"code": error, "message": "Do\x1b[31m this."}}
        result = run("analyze", TEXT, "--url", service.url)
        assert result.exit_code == code
        assert "Do[31m this." in result.stderr
        assert result.stdout == ""

    def test_no_service_is_4(self, run, service):
        service.http.server_close()
        result = run("analyze", TEXT, "--url", service.url.replace("http://", "http://me:secret@"))
        assert result.exit_code == 4
        assert "mentalllama serve" in result.stderr
        assert "secret" not in result.stderr

    def test_nothing_is_loaded_for_a_service(self, run, service, analyzer):
        assert run("analyze", TEXT, "--url", service.url).exit_code == 0
        assert analyzer.models == []
