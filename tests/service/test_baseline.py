"""The stored baseline: where it is found, what it is made of, what is shown of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from imhi.tasks import QUESTIONS
from service import baseline
from service.baseline import BASELINE_FILE, Baseline, from_metrics, from_results, load_baseline
from service.errors import ModelError
from service.metrics import export_baseline

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "models" / "mentalllama-embedded"
STRESS = {"yes": 0.75, "no": 0.25}


def made(**fields: object) -> Baseline:
    return Baseline.model_validate(
        {"source": "a test", "labels": {"stress": STRESS}, "confidence": {"stress": 0.8}} | fields
    )


def metrics(yes: int, no: int) -> str:
    total = yes + no
    return (
        "# TYPE mentalllama_labels_total counter\n"
        f'mentalllama_labels_total{{question="stress",label="yes"}} {yes}\n'
        f'mentalllama_labels_total{{question="stress",label="no"}} {no}\n'
        'mentalllama_labels_total{question="depression",label="no"} 3\n'
        "# TYPE mentalllama_confidence histogram\n"
        f'mentalllama_confidence_sum{{task="stress"}} {0.8 * total}\n'
        f'mentalllama_confidence_count{{task="stress"}} {total}\n'
    )


def test_a_service_gives_what_it_answered_often_enough() -> None:
    found = from_metrics(metrics(75, 25), "here")
    assert found.labels == {"stress": STRESS}
    assert found.confidence == {"stress": 0.8}
    with pytest.raises(ModelError, match="50 answers"):
        from_metrics(metrics(7, 2), "here")


def test_the_shipped_one_is_what_the_shipped_results_give() -> None:
    results = json.loads((SHIPPED / "results.json").read_text())
    again = from_results(results, "results.json, split val")
    assert load_baseline(None, SHIPPED) == again
    assert set(again.labels) < set(QUESTIONS)
    # From the confusion matrix in models/mentalllama-embedded/report.md.
    assert again.labels["depression"]["yes"] == pytest.approx((307 + 22) / 430, abs=1e-6)
    assert {"wellness", "interpersonal_risk"} <= set(again.confidence)


def test_the_deployments_own_comes_first(tmp_path: Path) -> None:
    own, models = tmp_path / "own.json", tmp_path / BASELINE_FILE
    own.write_text(made(source="own").model_dump_json())
    models.write_text(made(source="the model's").model_dump_json())
    assert load_baseline(own, tmp_path) == made(source="own")
    assert load_baseline(None, None, tmp_path / "absent", tmp_path) == made(source="the model's")
    assert load_baseline(None, None, tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"labels": {"mood": STRESS}}, "no question 'mood'"),
        ({"labels": {"stress": {"yes": 1.0}}}, "not those of this release"),
        ({"labels": {"stress": {"yes": 0.5, "no": 0.4}}}, "do not sum to 1"),
        ({"confidence": {"mood": 0.5}}, "no task 'mood'"),
        ({"confidence": {"stress": 1.5}}, "confidence.stress"),
    ],
)
def test_what_is_no_baseline_is_refused_by_name(
    tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(made().model_dump() | fields))
    with pytest.raises(ModelError, match=words):
        load_baseline(path)
    with pytest.raises(ModelError, match="cannot be read"):
        load_baseline(tmp_path / "absent.json")


def test_it_is_shown_beside_what_is_counted() -> None:
    export_baseline(made())
    shown = REGISTRY.get_sample_value
    labels = {"question": "stress", "label": "yes"}
    assert shown("mentalllama_baseline_label_share", labels) == 0.75
    assert shown("mentalllama_baseline_confidence", {"task": "stress"}) == 0.8


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert baseline.main([str(SHIPPED / "results.json")]) == 0
    assert Baseline.model_validate_json(capsys.readouterr().out).source.startswith("results.json")
    assert baseline.main([str(tmp_path / "absent.json")]) == 1
    assert "no baseline can be made" in capsys.readouterr().err
    assert baseline.main([]) == 2
