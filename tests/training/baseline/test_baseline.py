"""Every kind of rival on made-up rows: that it learns what there is, and how it is reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from imhi.tasks import DATASETS, QUESTIONS
from tests.training.build.teachers import Act, Body, endpoint
from tests.training.command import error_text, invoke
from tests.training.data.folders import example
from tests.training.evaluate.tiny_models import save_encoder, save_seq2seq
from training.baseline.recipe import load_baseline_recipe, shipped
from training.data.example import Example, Split
from training.data.prepared import write_prepared
from training.errors import RecipeError
from training.evaluate.store import load_records

pytestmark = pytest.mark.usefixtures("no_drawings")

# Words that the tiny models know.
WORDS = {"yes": "tired alone money", "no": "sister calls quiet"}
STRESS, DEPRESSION = QUESTIONS["stress"], QUESTIONS["depression"]


def row(number: int, split: Split, set_id: str = "dreaddit") -> Example:
    """The words of a post say its label."""
    label = "yes" if number % 2 else "no"
    question = STRESS if set_id == "dreaddit" else DEPRESSION
    made = example(
        f"Entry {number} of {split}: {WORDS[label]}.",
        question,
        label,
        set_id=set_id,
        split=split,
        row=number,
        explanation="The words of the entry say so.",
    )
    return replace(made, source=f"{set_id}/{split}.csv")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "prepared"
    rows = [row(number, Split.TRAIN, name) for name in ("dreaddit", "DR") for number in range(40)]
    rows += [row(number, Split.VAL, name) for name in ("dreaddit", "DR") for number in range(12)]
    write_prepared(rows, folder, report={"rows": {}}, duplicates={}, card="")
    return folder


def run(*arguments: str) -> Result:
    return invoke("baseline", *arguments)


def recipe(folder: Path, **fields: Any) -> str:
    path = folder / "rival.yaml"
    path.write_text(yaml.safe_dump({"name": "rival", **fields}))
    return str(path)


def f1(folder: Path, way: str = "read") -> dict[str, float]:
    results = json.loads((folder / "results.json").read_text())
    return {
        one["set"]: one["ways"][way]["all"]["figures"]["weighted_f1"]["value"]
        for one in results["sets"]
    }


def test_words_are_learned(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("tfidf", "--data", str(data), "--output", str(out), "--resamples", "50")
    assert result.exit_code == 0, result.stderr
    assert f1(out) == {"DR": 1.0, "dreaddit": 1.0}
    assert "Weighted F1" in result.stdout
    names = {path.name for path in out.iterdir()}
    assert {"report.html", "report.md", "results.json", "samples.jsonl", "released"} <= names
    results = json.loads((out / "results.json").read_text())
    assert results["model"]["name"] == "tfidf"
    assert results["command"] == "mentalllama-train baseline tfidf --data prepared --split val"
    [first, *_] = load_records(out)
    assert first.read is not None
    assert sum(first.read.probabilities.values()) == pytest.approx(1)


def test_a_frozen_encoder(data: Path, tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "encoder")
    path = recipe(tmp_path, kind="embedding", model="no/where/at/all")
    out = tmp_path / "out"
    options = ("--data", str(data), "--output", str(out), "--resamples", "0")
    result = run(path, "--model", str(encoder), *options)
    assert result.exit_code == 0, result.stderr
    assert set(f1(out)) == {"DR", "dreaddit"}
    refused = run(path, *options)
    assert refused.exit_code == 5
    assert "no/where/at/all" in error_text(refused)


def test_an_encoder_is_trained(data: Path, tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "encoder")
    training = {"epochs": 12, "learning_rate": 0.01, "batch_size": 8, "max_tokens": 32}
    path = recipe(tmp_path, kind="encoder", model=str(encoder), training=training)
    out = tmp_path / "out"
    result = run(path, "--data", str(data), "--output", str(out), "--resamples", "0")
    assert result.exit_code == 0, result.stderr
    assert min(f1(out).values()) > 0.9
    again = tmp_path / "again"
    run(path, "--data", str(data), "--output", str(again), "--resamples", "0")
    reads = [[one.read for one in load_records(folder)] for folder in (out, again)]
    assert reads[0] == reads[1]  # the seed decides


def test_a_seq2seq_model_writes_and_is_read(data: Path, tmp_path: Path) -> None:
    model = save_seq2seq(tmp_path / "seq2seq")
    training = {"epochs": 1, "batch_size": 8, "max_tokens": 32}
    path = recipe(tmp_path, kind="seq2seq", model=str(model), training=training)
    out = tmp_path / "out"
    options = ("--sets", "DR", "--limit", "4", "--resamples", "0")
    result = run(path, "--data", str(data), "--output", str(out), *options)
    assert result.exit_code == 0, result.stderr
    records = load_records(out)
    assert len(records) == 4
    assert all(one.free_form is not None and one.read is None for one in records)


def writes(number: int, body: Body) -> Act:
    """Answers by the words of the post; where the label should be it sometimes rambles."""
    del number
    query = body["messages"][-1]["content"]
    condition = "stress" if "stress?" in query else "depression"
    yes = WORDS["yes"] in query
    if "Entry 3 " in query:
        return Act(text="It depends on many things.")
    if "Entry 5 " in query:
        return Act(status=400)
    answer = f"Yes, the poster suffers from {condition}." if yes else "No."
    return Act(text=f"{answer} Reasoning: The words say so.")


def test_an_endpoint_is_asked_and_what_it_answered_is_kept(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with endpoint(writes) as served:
        asked = {"base_url": served.url, "model": "m", "few_shot": 1, "backoff": 0}
        path = recipe(tmp_path, kind="endpoint", endpoint=asked)
        options = ("--data", str(data), "--output", str(out), "--resamples", "0")
        assert run(path, *options).exit_code == 0
        assert len(served.bodies) == 24
        assert {len(body["messages"]) for body in served.bodies} == {2 + 4}
        run(path, *options)
        assert len(served.bodies) == 24
    by_id = {one.id: one.free_form for one in load_records(out)}
    found = by_id["DR/val.csv:3:depression"], by_id["DR/val.csv:5:depression"]
    assert [one.problem if one else None for one in found] == ["no_label", "refused"]
    assert f1(out, "free_form")["DR"] == pytest.approx(10 / 12, abs=0.1)


def test_the_likelihood_of_answers_is_read_where_the_endpoint_tells_it(
    data: Path, tmp_path: Path
) -> None:
    def score(number: int, body: Body) -> Act:
        del number
        prompt = str(body["prompt"])
        start = prompt.index("?", prompt.index("Question:")) + 1
        yes = WORDS["yes"] in prompt
        good = prompt[start:].startswith(" Yes,") is yes
        logprobs = {
            "text_offset": [0, start, start + 4, len(prompt)],
            "token_logprobs": [None, -0.1 if good else -3.0, -0.5, -9.0],
            "tokens": ["a", "b", "c", "d"],
        }
        completion = {
            "id": "x",
            "object": "text_completion",
            "created": 0,
            "model": "m",
            "choices": [
                {"index": 0, "text": prompt, "finish_reason": "length", "logprobs": logprobs}
            ],
        }
        return Act(raw=json.dumps(completion).encode())

    out = tmp_path / "out"
    with endpoint(score) as served:
        asked = {"base_url": served.url, "model": "m", "few_shot": 0, "backoff": 0}
        path = recipe(tmp_path, kind="endpoint", way="read", endpoint=asked)
        result = run(path, "--data", str(data), "--output", str(out), "--resamples", "0")
        assert result.exit_code == 0, result.stderr
        assert len(served.bodies) == 48  # two answer sentences a row
        assert not any("answer_from" in body for body in served.bodies)
    assert f1(out) == {"DR": 1.0, "dreaddit": 1.0}
    [first, *_] = load_records(out)
    assert first.read is not None
    # exp(-0.6) against exp(-3.5); the generated token at the end is not counted.
    assert max(first.read.probabilities.values()) == pytest.approx(1 / (1 + 2.718281828**-2.9))


def test_an_endpoint_without_log_probabilities_is_told_apart(data: Path, tmp_path: Path) -> None:
    completion = {"id": "x", "object": "text_completion", "created": 0, "model": "m"}
    completion["choices"] = [{"index": 0, "text": "", "finish_reason": "stop", "logprobs": None}]
    with endpoint(lambda number, body: Act(raw=json.dumps(completion).encode())) as served:
        asked = {"base_url": served.url, "model": "m", "few_shot": 0, "backoff": 0}
        path = recipe(tmp_path, kind="endpoint", way="read", endpoint=asked)
        result = run(path, "--data", str(data), "--output", str(tmp_path / "out"))
    assert result.exit_code == 5
    assert "way: free_form" in result.stderr


@pytest.mark.parametrize("name", shipped())
def test_every_recipe_that_ships_is_whole(name: str) -> None:
    found = load_baseline_recipe(name)
    assert found.source
    assert found.name == name


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "encoder"}, "`model`: encoder needs a directory"),
        ({"kind": "endpoint"}, "`endpoint`: name its base_url"),
        ({"kind": "forest"}, "kind"),
        ({"kind": "tfidf", "epochs": 3}, "epochs"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_baseline_recipe(recipe(tmp_path, **fields))


def test_a_name_that_is_nearly_right_is_told() -> None:
    with pytest.raises(RecipeError, match=r"Did you mean (\w+ or )?mentalbert"):
        load_baseline_recipe("mentalbrt")


def test_what_cannot_be_learned_is_said(data: Path, tmp_path: Path) -> None:
    lacking = tmp_path / "prepared"
    rows = [row(number, Split.VAL) for number in range(12)]
    write_prepared(rows, lacking, report={"rows": {}}, duplicates={}, card="")
    result = run("tfidf", "--data", str(lacking), "--output", str(tmp_path / "out"))
    assert result.exit_code == 3
    assert "no two labels of stress" in error_text(result)
    assert DATASETS["dreaddit"].questions == (STRESS,)
    del data
