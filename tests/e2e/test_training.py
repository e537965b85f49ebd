"""The paper's kind of weights through every command of `mentalllama-train`, and served.

What a person begins with is a random Llama with a Llama-2-like tokenizer and no manifest, and a
folder in the layout of the IMHI files. Each step is the command as people run it, in a process of
its own where an engine is started. The posts are made so that one sentence decides each label,
which two layers learn in a few seconds: what is measured at the end says whether anything was lost
between the files and the service.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from imhi.tasks import QUESTIONS
from service.analysis.manifest import load_manifest
from tests.e2e.scrape import eventually
from tests.models import tiny_llama
from tests.servers import bare_environment, serve
from tests.tokenizers import sentencepiece_tokenizer
from tests.training.command import invoke
from tests.training.data.folders import INSTRUCTION, instruction, train_file, write_csv
from training.errors import ExitCode
from training.evaluate.results import WayResults, load_results
from training.evaluate.store import load_records

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("training"),
]

COMMAND = str(Path(sys.executable).with_name("mentalllama-train"))
BELONGING = "interpersonal_risk.thwarted_belongingness"
TRAINED, MEASURED, WRONG = 120, 24, 6

BEGINNINGS = (
    "It is Monday.",
    "The bus was late today.",
    "I moved to the new flat in May.",
    "There was rain all week.",
    "My neighbour has a new bicycle.",
    "The kitchen is half painted.",
)
TENSE = (
    "The rent is due and my hours were cut again.",
    "I have read the same mail four times and cannot answer it.",
    "My chest is tight before every shift.",
    "I lie awake and count what I have not done.",
)
CALM = (
    "We walked along the river until it was dark.",
    "The soup turned out well and there is some left.",
    "I slept through the night for once.",
    "The exam is over and I passed it.",
)
ALONE = ("Nobody has written since.", "I eat by myself.", "They meet without me now.")
TOGETHER = ("My sister came over.", "We all sat outside.", "A friend is staying with me.")
SENTENCES = (*BEGINNINGS, *TENSE, *CALM, *ALONE, *TOGETHER)

# A run of a few seconds in the form of the paper's recipes.
SMALL = (
    "data.max_tokens=512",
    "pad_to_multiple_of=16",
    "loss.full_text=false",
    "loss.answer_weight=0.8",
    "optimisation.batch_sequences=8",
    "optimisation.gradient_accumulation=1",
    "optimisation.optimizer=adamw_torch",
    "precision.weights=float32",
    "precision.bf16=false",
    "precision.gradient_checkpointing=false",
    "evaluation.every=90",
    "checkpoints.every=90",
)
ENGINE = ("--", "--dtype", "float32", "--max-model-len", "1024", "--enforce-eager")


def write_imhi(folder: Path) -> Path:
    """The released files of two sets with train and val, and the annotators' labels of one val.

    Each sixth reference of val is wrong, and the annotators' label is not: who has learned the rule
    is right on five in six, and on all by the annotators.
    """
    moods, companies = (*TENSE, *CALM), (*ALONE, *TOGETHER)
    made = list(itertools.product(BEGINNINGS, moods, companies))
    random.Random(1).shuffle(made)
    parts = {"train": made[:TRAINED], "val": made[TRAINED : TRAINED + MEASURED]}
    for split, rows in parts.items():
        for name, question, signs, place in (
            ("dreaddit", "stress", TENSE, 1),
            ("Irf", BELONGING, ALONE, 2),
        ):
            written = []
            for number, row in enumerate(rows):
                wrong = split == "val" and number % WRONG == 0
                label = "yes" if (row[place] in signs) != wrong else "no"
                because = f'The poster writes "{row[place]}"'
                written.append(instruction(" ".join(row), QUESTIONS[question], label, because))
            write_csv(train_file(folder / "imhi", f"{name}/{split}.csv"), INSTRUCTION, written)
    write_csv(
        folder / "raw/Irf/val_data.csv",
        ("text", "belong", "belong_exp", "burden", "burden_exp"),
        [
            (" ".join(row), str(int(row[2] in ALONE)), row[2] if row[2] in ALONE else "", "0", "")
            for row in parts["val"]
        ],
    )
    return folder


def environment() -> dict[str, str]:
    """As on any machine, with one thread.

    Matrices as small as these gain nothing by a second one, and where another program wants
    the same core, threads that wait for each other make seconds into minutes.
    """
    return bare_environment() | {"OMP_NUM_THREADS": "1"}


def run(*arguments: object) -> str:
    """Run a command in this process to its good end; its standard output."""
    done = invoke(*arguments)
    assert done.exit_code == ExitCode.OK, done.output[-4000:]
    return done.stdout


def read_results(folder: Path, way: str = "read") -> dict[str, WayResults]:
    """Set id to what a run measured."""
    return {one.set: one.ways[way] for one in load_results(folder).sets}


def value(results: WayResults, metric: str) -> float:
    figure = results.all.figures[metric].value
    assert figure is not None
    return figure


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the random model, and the data as `data prepare` leaves it."""
    import torch

    work = tmp_path_factory.mktemp("training")
    (work / "tokenizer").mkdir()
    tiny_llama(work / "tiny", sentencepiece_tokenizer(work / "tokenizer"))
    folder = write_imhi(work / "files")
    run("data", "prepare", folder, "--output", work / "prepared")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield work
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model(work: Path) -> Path:
    """The random model trained in full by the paper's recipe, and exported."""
    run(
        *("sft", "mentalllama-7b", f"model.base={work / 'tiny'}", "name=tiny-full"),
        *(f"data.path={work / 'prepared'}", f"output={work / 'full'}"),
        *("optimisation.learning_rate=3e-3", "optimisation.epochs=6", *SMALL),
    )
    run(
        *("export", work / "full" / "model", "--data", work / "prepared"),
        *("--output", work / "exported"),
    )
    return work / "exported"


@pytest.fixture(scope="module")
def evaluation(work: Path, model: Path) -> Path:
    """The exported model measured; the run was interrupted once, as from a terminal."""
    folder = work / "evaluation"
    command = ["evaluate", str(model), "--data", str(work / "prepared"), "--output", str(folder)]
    command += ["--explain", "12", "--free-form", "6", "--bartscore", "none"]
    child = subprocess.Popen(
        # One post at a time, to be in the middle of it when the interruption comes.
        [COMMAND, *command, "--concurrency", "1", *ENGINE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    journal = folder / "answers.jsonl"
    try:
        assert eventually(
            lambda: (
                child.poll() is not None
                or (journal.exists() and '"way": "explained"' in journal.read_text())
            ),
            300,
        )
        assert child.poll() is None, "it ended before it could be interrupted"
        os.killpg(child.pid, signal.SIGINT)
        said, complained = child.communicate(timeout=60)
        assert eventually(lambda: not group_lives(child.pid), 20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == ExitCode.INTERRUPTED, complained
    assert said == ""
    assert complained.rstrip().endswith("Interrupted. Run the same command again to go on.")
    assert "Traceback" not in complained
    assert not any(sentence in said + complained for sentence in SENTENCES)
    before = journal.read_bytes()
    done = subprocess.run(
        [COMMAND, *command, *ENGINE], capture_output=True, text=True, env=environment(), timeout=400
    )
    assert done.returncode == ExitCode.OK, done.stderr[-4000:]
    after = journal.read_bytes()
    assert after.startswith(before[: before.rindex(b"\n") + 1])
    asked = [json.loads(line) for line in after.splitlines()]
    keys = [(one["id"], one["way"]) for one in asked if "way" in one]
    assert len(keys) == len(set(keys)) == 2 * (MEASURED + 12 + 6)
    return folder


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def calibrated(model: Path, evaluation: Path) -> Path:
    """The exported model after the calibration on its own reads."""
    run("calibrate", model, "--records", evaluation, "--folds", "4", "--min-rows", MEASURED)
    return model


def test_what_was_trained_is_what_is_measured(work: Path, evaluation: Path) -> None:
    curve = json.loads((work / "full" / "training.json").read_text())["curve"]
    best = max(point.get("eval_mean_weighted_f1", 0) for point in curve)
    measured = read_results(evaluation)
    assert set(measured) == {"dreaddit", "IRF"}
    right = 1 - 1 / WRONG
    for results in measured.values():
        assert value(results, "accuracy") == pytest.approx(right, abs=1.5 / MEASURED)
    mean = load_results(evaluation).mean["read"].figures["weighted_f1"].value
    assert mean == pytest.approx(best, abs=1.5 / MEASURED)
    # By the annotators' labels, which are not wrong, it is nearly always right.
    annotated = measured["IRF"].annotation
    assert annotated is not None
    accuracy = annotated.figures["accuracy"].value
    assert accuracy is not None
    assert accuracy > 0.95


def test_explanations_and_free_form_answers_are_the_models_own(evaluation: Path) -> None:
    results = load_results(evaluation)
    assert results.explanations is not None
    overall = results.explanations.ways["read"][0]
    assert overall.rows == 24
    assert overall.figures["with_quote"].value == 1
    assert overall.figures["cut_off"].value == 0
    for way in read_results(evaluation, "free_form").values():
        assert way.all.rows == 6
        assert value(way, "unreadable") == 0
    records = load_records(evaluation)
    generated = [record for record in records if record.free_form is not None]
    assert len(generated) == 12
    for record in generated:
        assert record.free_form is not None
        assert record.read is not None
        probabilities = record.read.probabilities
        # Greedy decoding takes what the label read finds most probable.
        assert record.free_form.label == max(probabilities, key=lambda one: probabilities[one])


def test_everything_that_a_run_leaves_is_there_and_private(evaluation: Path) -> None:
    for name in ("results.json", "report.md", "report.html", "samples.html", "samples.jsonl"):
        assert (evaluation / name).stat().st_size > 0
    for name in ("samples.html", "samples.jsonl", "answers.jsonl"):
        assert (evaluation / name).stat().st_mode & 0o077 == 0
    for way in ("read", "free_form"):
        files = {path.name for path in (evaluation / "released" / way).iterdir()}
        assert files == {"dreaddit.csv", "Irf.csv"}
    for name in ("results.json", "report.md", "report.html"):
        text = (evaluation / name).read_text()
        assert not any(sentence in text for sentence in SENTENCES)


def test_calibration_lowers_what_is_too_sure(calibrated: Path, evaluation: Path) -> None:
    manifest = load_manifest(calibrated)
    assert manifest is not None
    assert set(manifest.calibration) == {"stress", BELONGING}
    assert all(entry.temperature > 1 for entry in manifest.calibration.values())
    report = json.loads((calibrated / "calibration.json").read_text())
    before, after = (report["mean"][part]["nll"]["value"] for part in ("before", "after"))
    assert after < before
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "checksums.sha256"], cwd=calibrated, check=False
    )
    assert done.returncode == 0


def test_the_service_says_what_was_measured(
    calibrated: Path, evaluation: Path, tmp_path: Path
) -> None:
    manifest = load_manifest(calibrated)
    assert manifest is not None
    calibration = manifest.to_calibration()
    records = [record for record in load_records(evaluation) if record.set == "dreaddit"][:4]
    with serve([str(calibrated), *ENGINE[1:]], tmp_path / "log") as server:
        (served,) = httpx.get(f"{server.url}/v1/models").json()["data"]
        request = {"texts": [record.post for record in records], "explanation_tokens": 64}
        response = httpx.post(f"{server.url}/analyze", json=request, timeout=120)
    assert served["id"] == "tiny-full"
    assert response.status_code == 200, response.text
    for record, result in zip(records, response.json()["results"], strict=True):
        (answer,) = (one for one in result["answers"] if one["question"] == "stress")
        assert record.read is not None
        expected = calibration.apply(QUESTIONS["stress"], record.read.log_probabilities)
        assert answer["probabilities"] == pytest.approx(expected, abs=1e-3)
        assert answer["explanation"].startswith("The poster writes")
        for evidence in answer["evidence"]:
            assert record.post[evidence["start"] : evidence["end"]] == evidence["quote"]


def test_an_adapter_is_trained_and_exported(work: Path) -> None:
    run(
        *("sft", "mentalllama-33b-lora", f"model.base={work / 'tiny'}", "name=tiny-lora"),
        *(f"data.path={work / 'prepared'}", f"output={work / 'lora'}"),
        *("optimisation.learning_rate=5e-3", "optimisation.epochs=6", *SMALL),
    )
    curve = json.loads((work / "lora" / "training.json").read_text())["curve"]
    print(
        [point.get("eval_mean_weighted_f1") for point in curve if "eval_mean_weighted_f1" in point]
    )
    assert max(point.get("eval_mean_weighted_f1", 0) for point in curve) > 0.7
    exporting = ("export", work / "lora" / "model", "--base", work / "tiny")
    exporting += ("--data", work / "prepared", "--output")
    run(*exporting, work / "merged")
    run(*exporting, work / "adapter", "--keep-adapter")
    merged = load_manifest(work / "merged")
    assert merged is not None
    assert (merged.name, merged.prompt_style) == ("tiny-lora", "bare")
    assert (work / "merged" / "model.safetensors").is_file()
    assert (work / "adapter" / "adapter_model.safetensors").is_file()
    for name in ("merged", "adapter"):
        report = json.loads((work / name / "export.json").read_text())
        assert report["check"]["passed"] is True


def test_it_is_compared_with_a_baseline_on_the_same_rows(work: Path, evaluation: Path) -> None:
    baseline = work / "evaluation-tfidf"
    run("baseline", "tfidf", "--data", work / "prepared", "--output", baseline)
    shown = run("compare", evaluation, baseline, "--output", work / "comparison")
    assert "dreaddit" in shown
    compared = json.loads((work / "comparison" / "comparison.json").read_text())
    assert [one["set"] for one in compared["sets"]] == ["dreaddit", "IRF"]
    for one in compared["sets"]:
        weighted = one["metrics"]["weighted_f1"]
        assert weighted["difference"] == pytest.approx(weighted["b"] - weighted["a"])
