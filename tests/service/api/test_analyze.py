from __future__ import annotations

import math

import pytest

from imhi.tasks import QUESTIONS, TASKS, WORDING_VERSION
from service.analysis.types import Cut, DecisionPolicy, Explain, Truncation
from service.errors import EngineError, OverloadedError, TextTooLongError
from service.settings import NOTICE, URGENT_RESOURCES
from tests.service.api.fakes import USAGE, FakeAnalyzer, client_of, make_app

TEXT = "Nights are long and I lie awake."


async def post(analyzer: FakeAnalyzer, body: object, **settings: object):
    async with client_of(make_app(analyzer, **settings)) as client:
        return await client.post("/analyze", json=body)


async def asked(body: dict[str, object], **settings: object):
    """What the analyzer was asked for by a request with these fields."""
    analyzer = FakeAnalyzer()
    response = await post(analyzer, {"text": TEXT} | body, **settings)
    assert response.status_code == 200, response.text
    [(_, questions, options, _)] = analyzer.calls
    return questions, options, response.json()


async def refused(body: dict[str, object], analyzer: FakeAnalyzer | None = None, **settings):
    """The error that a request with these fields gets, and its status."""
    response = await post(analyzer or FakeAnalyzer(), body, **settings)
    error = response.json()["error"]
    assert error["request_id"] == response.headers["x-request-id"]
    return response.status_code, error


async def test_every_field_of_an_answer():
    _, _, body = await asked({"questions": ["stress"]})
    assert body["id"].startswith("analysis-")
    assert body["model"] == "fake-model"
    assert body["wording_version"] == WORDING_VERSION
    assert body["notice"] == NOTICE
    assert body["resources"] is None
    assert body["usage"] == {
        "prompt_tokens": USAGE.prompt_tokens,
        "cached_tokens": USAGE.cached_tokens,
        "completion_tokens": USAGE.completion_tokens,
    }
    [result] = body["results"]
    assert result["index"] == 0
    assert result["truncated"] == []
    assert result["error"] is None
    assert result["answers"] == [
        {
            "task": "stress",
            "question": "stress",
            "question_text": "Does the poster suffer from stress?",
            "label": "yes",
            "probability": 0.75,
            "probabilities": {"yes": 0.75, "no": 0.25},
            "label_mass": 0.9,
            "abstained": False,
            "candidate": "yes",
            "urgent": False,
            "explanation": 'The poster says "Nights"',
            "evidence": [{"quote": "Nights", "start": 0, "end": 6}],
            "consistency": 0.8,
            "finish_reason": "stop",
        }
    ]


async def test_all_tasks_by_default_each_distribution_sums_to_one():
    questions, _, body = await asked({})
    assert [question.id for question in questions] == list(QUESTIONS)
    answers = body["results"][0]["answers"]
    assert [answer["question"] for answer in answers] == list(QUESTIONS)
    for answer in answers:
        assert math.fsum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-12)


async def test_tasks_choose_questions_in_the_order_given_and_once():
    questions, _, _ = await asked({"tasks": ["wellness", "stress", "wellness"]})
    expected = [*TASKS["wellness"].questions, *TASKS["stress"].questions]
    assert list(questions) == expected


TSID_ALONE = {"mental_disorder.tsid": 3071}


@pytest.mark.parametrize(
    ("fields", "trained", "expected"),
    [
        ({"tasks": ["mental_disorder"]}, TSID_ALONE, ["tsid"]),
        ({"questions": ["mental_disorder.swmh"]}, TSID_ALONE, ["swmh"]),
        ({"tasks": ["mental_disorder"], "model": "fake-adapter"}, TSID_ALONE, ["tsid", "swmh"]),
    ],
    ids=["by task", "by id", "adapter"],
)
async def test_a_task_is_asked_in_the_wordings_that_were_trained(fields, trained, expected):
    analyzer = FakeAnalyzer(trained=trained)
    response = await post(analyzer, {"text": TEXT} | fields)
    assert response.status_code == 200, response.text
    [(_, questions, _, _)] = analyzer.calls
    assert [question.id.removeprefix("mental_disorder.") for question in questions] == expected


@pytest.mark.parametrize("mode", list(Explain))
async def test_explain(mode: Explain):
    _, options, body = await asked({"explain": mode, "tasks": ["stress"]})
    assert options.explain is mode
    [answer] = body["results"][0]["answers"]
    if mode is Explain.NEVER:
        assert (answer["explanation"], answer["evidence"]) == (None, [])
        assert (answer["consistency"], answer["finish_reason"]) == (None, None)


@pytest.mark.parametrize("written", ["96.0", "9.6e1"])
async def test_a_whole_number_is_one_however_it_is_written(written: str):
    analyzer = FakeAnalyzer()
    body = f'{{"text": "a b", "tasks": ["stress"], "explanation_tokens": {written}}}'
    async with client_of(make_app(analyzer)) as client:
        response = await client.post(
            "/analyze", content=body, headers={"content-type": "application/json"}
        )
    assert response.status_code == 200
    assert analyzer.calls[0][2].explanation_tokens == 96


async def test_options_reach_the_analyzer():
    _, options, body = await asked(
        {"explanation_tokens": 7, "consistency": False, "truncation": "middle"}
    )
    assert (options.explanation_tokens, options.consistency) == (7, False)
    assert options.truncation is Truncation.MIDDLE
    assert body["results"][0]["answers"][0]["consistency"] is None
    _, options, _ = await asked({}, max_explanation_tokens=50)
    assert options.explanation_tokens == 50  # the deployment bounds the default too
    _, options, _ = await asked(
        {
            "thresholds": {"stress": {"yes": 0.8}},
            "abstention_band": [0.4, 0.6],
            "min_probability": 0.3,
            "min_label_mass": 0,
        }
    )
    assert options.policy == DecisionPolicy({"stress": {"yes": 0.8}}, (0.4, 0.6), 0.3, 0.0)


@pytest.mark.parametrize(
    ("model", "adapter"), [("fake-model", None), ("fake-adapter", "fake-adapter")]
)
async def test_model(model: str, adapter: str | None):
    _, options, body = await asked({"model": model})
    assert options.adapter == adapter
    assert body["model"] == model


async def test_abstention_keeps_the_candidate():
    response = await post(FakeAnalyzer(abstains=True), {"text": TEXT, "tasks": ["stress"]})
    [answer] = response.json()["results"][0]["answers"]
    assert (answer["label"], answer["candidate"], answer["abstained"]) == (None, "yes", True)


@pytest.mark.parametrize("abstains", [False, True])
async def test_an_urgent_candidate_brings_the_resources(abstains: bool):
    analyzer = FakeAnalyzer(labels={"mental_disorder.swmh": "suicide"}, abstains=abstains)
    response = await post(analyzer, {"text": TEXT, "tasks": ["mental_disorder"]})
    body = response.json()
    assert [answer["urgent"] for answer in body["results"][0]["answers"]] == [False, True]
    assert body["resources"] == URGENT_RESOURCES


async def test_the_deployment_words_notice_and_resources():
    analyzer = FakeAnalyzer(labels={"mental_disorder.swmh": "suicide"})
    texts = {"notice": "Mind this.", "urgent_resources": "Ring 112."}
    body = (await post(analyzer, {"text": TEXT}, **texts)).json()
    assert (body["notice"], body["resources"]) == ("Mind this.", "Ring 112.")


async def test_what_was_cut_is_said():
    body = (await post(FakeAnalyzer(cuts=(Cut(3, 9),)), {"text": TEXT})).json()
    assert body["results"][0]["truncated"] == [{"start": 3, "end": 9}]


async def test_offsets_are_code_points():
    text = "\U0001f319\U0001f319 \u00e9t\u00e9 \U0001f4a4"
    body = (await post(FakeAnalyzer(), {"text": text, "tasks": ["stress"]})).json()
    [found] = body["results"][0]["answers"][0]["evidence"]
    assert text[found["start"] : found["end"]] == found["quote"] == "\U0001f319\U0001f319"


async def test_server_timing_and_no_store():
    response = await post(FakeAnalyzer(), {"texts": [TEXT, TEXT]})
    assert response.headers["server-timing"] == (
        "tokenize;dur=2.0, queue;dur=4.0, label_read;dur=80.0, explanation;dur=500.0, "
        "total;dur=600.0"
    )
    assert response.headers["cache-control"] == "no-store"


async def test_texts_come_back_in_order_and_usage_is_the_sum():
    analyzer = FakeAnalyzer()
    body = (await post(analyzer, {"texts": ["one x", "two x", "three x"]})).json()
    assert [result["index"] for result in body["results"]] == [0, 1, 2]
    quotes = [result["answers"][0]["evidence"][0]["quote"] for result in body["results"]]
    assert quotes == ["one", "two", "three"]
    assert body["usage"]["prompt_tokens"] == 3 * USAGE.prompt_tokens
    names = [request_id for _, _, _, request_id in analyzer.calls]
    assert len(set(names)) == 3, "the engine's requests must not share a name"


async def test_one_bad_text_does_not_fail_the_others():
    analyzer = FakeAnalyzer(
        fails={"dead": EngineError("The engine failed."), "bug": ValueError("bug")}
    )
    response = await post(
        analyzer, {"texts": ["fine", " ", "y" * 30, "dead", "bug"]}, max_characters=20
    )
    assert response.status_code == 200
    results = response.json()["results"]
    codes = [result["error"] and result["error"]["code"] for result in results]
    assert codes == [None, "empty_text", "text_too_long", "engine_error", "internal_error"]
    assert results[0]["answers"]
    assert all(result["answers"] == [] for result in results[1:])
    assert results[2]["error"]["param"] == "texts.2"
    assert results[3]["error"]["type"] == "server_error"


async def test_texts_that_all_fail_by_the_services_fault_are_an_error():
    busy = OverloadedError("The queue is full.")
    response = await post(FakeAnalyzer(fails={"a": busy, "b": busy}), {"texts": ["a", "b"]})
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "overloaded"
    assert response.headers["retry-after"] == "1"


async def test_texts_that_all_fail_by_the_callers_fault_are_results():
    response = await post(FakeAnalyzer(), {"texts": ["", " "]})
    assert response.status_code == 200
    assert [r["error"]["code"] for r in response.json()["results"]] == ["empty_text"] * 2


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TextTooLongError("It has 9 tokens; 8 fit.", param="text"), 422, "text_too_long"),
        (OverloadedError("The queue is full."), 503, "overloaded"),
        (EngineError("The engine failed."), 502, "engine_error"),
        (RuntimeError("never shown"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_one_text_meets_is_the_response(error, status, code, stream):
    analyzer = FakeAnalyzer(fails={TEXT: error})
    got, body = await refused({"text": TEXT, "stream": stream}, analyzer)
    assert (got, body["code"]) == (status, code)
    assert "never shown" not in body["message"]


@pytest.mark.parametrize(
    ("body", "code", "param", "said"),
    [
        ({}, "invalid_request", "text", "Send `text` or `texts`"),
        ({"text": "a", "texts": ["a"]}, "invalid_request", "texts", "not both"),
        ({"text": ""}, "empty_text", "text", "empty"),
        ({"texts": []}, "invalid_request", "texts", "at least 1 items"),
        ({"texts": ["a"] * 65}, "invalid_request", "texts", "at most 64"),
        ({"texts": ["a", 5]}, "invalid_request", "texts.1", "must be a string"),
        ({"text": "x" * 100_001}, "text_too_long", "text", "100001 characters"),
        ({"text": "a", "tasks": ["moods"]}, "unknown_name", "tasks.0", "wellness"),
        ({"text": "a", "tasks": []}, "invalid_request", "tasks", "at least 1"),
        ({"text": "a", "questions": ["x"]}, "unknown_name", "questions.0", "stress_cause"),
        (
            {"text": "a", "tasks": ["stress"], "questions": ["stress"]},
            "invalid_request",
            "questions",
            "not both",
        ),
        ({"text": "a", "explain": "maybe"}, "invalid_request", "explain", "'always'"),
        ({"text": "a", "truncation": 3}, "invalid_request", "truncation", "'middle'"),
        ({"text": "a", "explanation_tokens": 0}, "invalid_request", "explanation_tokens", "1"),
        ({"text": "a", "explanation_tokens": 513}, "invalid_request", "explanation_tokens", "512"),
        ({"text": "a", "explanation_tokens": 9.5}, "invalid_request", "explanation_tokens", "who"),
        ({"text": "a", "consistency": "yes"}, "invalid_request", "consistency", "true or false"),
        ({"text": "a", "stream": 1}, "invalid_request", "stream", "true or false"),
        ({"text": "a", "model": "gpt"}, "unknown_name", "model", "fake-model, fake-adapter"),
        ({"text": "a", "moods": 1}, "invalid_request", None, "unknown field"),
        ({"text": "a", "min_probability": 1.5}, "invalid_request", "min_probability", "at most 1"),
        ({"text": "a", "abstention_band": [0.6, 0.2]}, "invalid_request", "abstention_band", "low"),
        (
            {"text": "a", "thresholds": {"stress": {"maybe": 1}}},
            "unknown_name",
            "thresholds.stress",
            "yes, no",
        ),
    ],
)
async def test_wrong_fields(body, code, param, said):
    status, error = await refused(body)
    assert (status, error["code"], error["param"]) == (422, code, param)
    assert said in error["message"]
    assert error["type"] == "invalid_request_error"


async def test_several_wrong_fields_are_named_together():
    _, error = await refused({"text": 1, "explain": 2, "stream": "x"})
    assert error["message"].count("`") >= 6
    assert error["param"] == "text"


async def test_nothing_is_analysed_for_a_refused_request():
    analyzer = FakeAnalyzer()
    await refused({"texts": ["a", 5]}, analyzer)
    assert analyzer.opened == 0


async def test_before_the_start_it_is_not_ready():
    async with client_of(make_app()) as client:
        response = await client.post("/analyze", json={"text": TEXT})
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_ready"
