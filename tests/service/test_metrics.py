from __future__ import annotations

from prometheus_client import REGISTRY, generate_latest

from tests.service.api.fakes import FakeAnalyzer, client_of, make_app


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


WATCHED: dict[str, tuple[str, dict[str, str], float]] = {
    "requests": ("requests_total", {"route": "/analyze", "outcome": "ok"}, 1),
    "posts": ("posts_total", {}, 2),
    "questions": ("questions_total", {"task": "mental_disorder"}, 4),
    "label": ("labels_total", {"question": "stress", "label": "yes"}, 2),
    "confidence": ("confidence_count", {"task": "stress"}, 2),
    "confidence sum": ("confidence_sum", {"task": "stress"}, 1.5),
    "label mass": ("label_mass_sum", {"task": "stress"}, 1.8),
    "explanations": ("explanations_total", {"finish_reason": "stop"}, 6),
    "evidence": ("evidence_total", {}, 6),
    "consistency": ("consistency_count", {"task": "mental_disorder"}, 4),
    "tokenize": ("phase_seconds_sum", {"phase": "tokenize"}, 0.004),
    "queue": ("phase_seconds_sum", {"phase": "queue"}, 0.008),
    "label read": ("phase_seconds_sum", {"phase": "label_read"}, 0.16),
    "first label": ("phase_seconds_sum", {"phase": "first_label"}, 0.06),
    "explanation": ("phase_seconds_sum", {"phase": "explanation"}, 1.0),
    "total": ("phase_seconds_sum", {"phase": "total"}, 1.2),
    "prompt tokens": ("tokens_total", {"kind": "prompt"}, 200),
    "cached tokens": ("tokens_total", {"kind": "cached"}, 120),
    "completion tokens": ("tokens_total", {"kind": "completion"}, 18),
}


def watched() -> dict[str, float]:
    return {
        key: sample(f"mentalllama_{name}", **labels) for key, (name, labels, _) in WATCHED.items()
    }


async def test_what_an_analysis_counts():
    expected = {key: grown for key, (_, _, grown) in WATCHED.items()}
    for streaming in (False, True):
        before = watched()
        async with client_of(make_app(FakeAnalyzer())) as client:
            body = {"texts": ["a b", "c"], "tasks": ["stress", "mental_disorder"]}
            await client.post("/analyze", json={**body, "stream": streaming})
        after = watched()
        grown = {key: round(after[key] - before[key], 6) for key in before}
        assert grown == expected


async def test_abstentions_are_no_labels():
    name, labels = "mentalllama_abstentions_total", {"question": "stress"}
    decided = {"question": "stress", "label": "yes"}
    before = sample(name, **labels), sample("mentalllama_labels_total", **decided)
    async with client_of(make_app(FakeAnalyzer(abstains=True))) as client:
        await client.post("/analyze", json={"text": "a", "tasks": ["stress"]})
    after = sample(name, **labels), sample("mentalllama_labels_total", **decided)
    assert after == (before[0] + 1, before[1])


async def test_errors_are_counted_by_code_and_outcome():
    async with client_of(make_app(FakeAnalyzer(fails={"x": RuntimeError()}))) as client:
        for body, code, outcome in (
            ({"text": ""}, "empty_text", "caller_error"),
            ({"texts": ["", "a"]}, "empty_text", "ok"),
            ({"text": "a", "moods": 1}, "invalid_request", "caller_error"),
            ({"text": "x"}, "internal_error", "server_error"),
        ):
            counts = [
                lambda code=code: sample("mentalllama_rejections_total", code=code),
                lambda outcome=outcome: sample(
                    "mentalllama_requests_total", route="/analyze", outcome=outcome
                ),
            ]
            before = [count() for count in counts]
            await client.post("/analyze", json=body)
            assert [count() for count in counts] == [number + 1 for number in before]


async def test_unknown_paths_are_one_route():
    before = sample("mentalllama_requests_total", route="other", outcome="caller_error")
    async with client_of(make_app()) as client:
        for path in ("/a", "/b", "/analyze/", "/v1/embeddings"):
            await client.get(path)
    after = sample("mentalllama_requests_total", route="other", outcome="caller_error")
    assert after == before + 4
    assert "embeddings" not in generate_latest().decode()


def test_what_is_known_beforehand_is_there_from_the_start():
    """Else a rate misses the first increase, and an alert on a ratio has nothing to divide."""
    exposed = generate_latest().decode()
    make_app()
    for series in (
        'mentalllama_requests_total{outcome="server_error",route="/analyze"}',
        'mentalllama_labels_total{label="ptsd",question="mental_disorder.tsid"}',
        'mentalllama_abstentions_total{question="wellness.physical"}',
        'mentalllama_label_mass_count{task="loneliness"}',
        'mentalllama_phase_seconds_count{phase="first_label"}',
        'mentalllama_queued_requests{priority="bulk"}',
        'mentalllama_queue_seconds_count{priority="interactive"}',
    ):
        assert f"\n{series} " in exposed
