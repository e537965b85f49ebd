"""The real service as teacher and as rival: `data build` and `baseline` on its OpenAI routes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.servers import RunningServer
from tests.training.data.folders import example
from training.data.example import Split
from training.data.prepared import load_prepared, write_prepared

pytestmark = [pytest.mark.engine, pytest.mark.slow]

MODEL = "mentalllama-embedded"
POSTS = (
    "My boss moved the deadline up again and I have not slept since Sunday.",
    "We baked bread with the neighbours and sat outside until it was dark.",
    "The rent is due tomorrow and I do not know whom to ask any more.",
    "I found my old skates in the cellar, and they still fit.",
)


def trainer(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "training.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_service_explains_raw_rows(embedded_server: RunningServer, tmp_path: Path) -> None:
    with (tmp_path / "raw.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows((post, (number + 1) % 2) for number, post in enumerate(POSTS))
    recipe = {
        "name": "small",
        "sources": [{"set": "dreaddit", "files": {"train": "raw.csv"}}],
        "teacher": {
            "base_url": f"{embedded_server.url}/v1",
            "model": MODEL,
            "max_tokens": 64,
            "few_shot": 1,
            "label_free_share": 1.0,
        },
        "output": "built",
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    done = trainer("data", "build", str(tmp_path / "recipe.yaml"), "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    [dreaddit] = results["sets"]
    assert (dreaddit["asked"], dreaddit["asked_freely"]) == (4, 4)
    assert sum(dreaddit["outcomes"].values()) == 4
    assert results["usage"]["sent"] == 8
    assert results["usage"]["completion_tokens"] > 0
    rows = load_prepared(tmp_path / "built" / "data").examples[Split.TRAIN]
    assert [row.post for row in rows] == list(POSTS)
    again = json.loads(trainer("data", "build", str(tmp_path / "recipe.yaml"), "--json").stdout)
    assert (again["usage"]["sent"], again["usage"]["cached"]) == (0, 8)
    assert again["sets"] == results["sets"]


def test_the_likelihood_of_answers_is_read_from_the_service(
    embedded_server: RunningServer, tmp_path: Path
) -> None:
    rows = [
        example(post, label="yes" if number % 2 == 0 else "no", split=Split.VAL, row=number + 1)
        for number, post in enumerate(POSTS)
    ]
    write_prepared(rows, tmp_path / "data", report={"rows": {}}, duplicates={}, card="")
    endpoint = {"base_url": f"{embedded_server.url}/v1", "model": MODEL, "few_shot": 0}
    recipe = {"name": "plain", "kind": "endpoint", "way": "read", "endpoint": endpoint}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    arguments = ("--data", str(tmp_path / "data"), "--output", str(tmp_path / "out"))
    done = trainer("baseline", str(tmp_path / "recipe.yaml"), *arguments, "--json")
    assert done.returncode == 0, done.stderr
    samples = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").open()]
    reads = {sample["post"]: sample["read"]["probabilities"]["yes"] for sample in samples}
    # The tuned model reads its own answer sentences: what it says must follow the posts.
    assert min(reads[POSTS[0]], reads[POSTS[2]]) > max(reads[POSTS[1]], reads[POSTS[3]])
