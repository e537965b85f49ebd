"""Whole runs on a tiny model: what they do, what they leave, and that they can be cut short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from service import processor
from service.analysis.manifest import load_manifest
from tests.training.sft.recipes import POSTS
from tests.training.sft.runs import Runs, curve, furthest, report, weights
from tests.training.sft.tiny import base, load
from training.cli.main import app
from training.data.prepared import load_prepared
from training.errors import ExitCode
from training.sft.machine import Machine
from training.sft.overrides import resolve
from training.sft.recipe_file import read_recipe, shipped
from training.sft.run import run
from training.sft.watch import METRIC

STEPS = "optimisation.max_steps=4"
EVALUATED = ("evaluation.every=2", "checkpoints.every=2", "checkpoints.keep=null")


@pytest.fixture(scope="module")
def evaluated(runs: Runs) -> Path:
    """A run of four steps that is evaluated and saved twice."""
    return runs("evaluated", STEPS, *EVALUATED)


@pytest.mark.parametrize(
    ("lacks", "precision", "told"),
    [
        (True, {"bf16": True, "weights": "float32"}, True),
        (True, {"bf16": False, "weights": "bfloat16"}, True),
        (True, {"bf16": False, "weights": "float32"}, False),
        (False, {"bf16": True, "weights": "bfloat16"}, False),
    ],
)
def test_a_processor_without_bfloat16_is_told_of_before_a_run(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, lacks: bool, precision: dict[str, Any], told: bool
) -> None:
    class BegunError(Exception):
        pass

    def stop(*_: Any) -> None:
        raise BegunError

    monkeypatch.setattr(processor, "lacks_bfloat16", lambda: lacks)
    monkeypatch.setattr("training.sft.run.load_model", stop)
    runs.said.clear()
    with pytest.raises(BegunError):
        runs("told", *(f"precision.{name}={value}".lower() for name, value in precision.items()))
    assert any("precision.bf16=false" in line for line in runs.said) is told


# What a run leaves.


def test_a_finished_model_is_whole_and_holds_no_pickle(evaluated, model) -> None:
    folder = evaluated / "model"
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "mentalllama.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert not (folder / "README.md").exists()
    ids = torch.tensor([[5, 300, 17]])
    assert not torch.allclose(load(folder)(ids).logits, load(model)(ids).logits, atol=1e-2)


def test_its_manifest_says_what_it_was_trained_on(evaluated, data) -> None:
    manifest = load_manifest(evaluated / "model")
    assert manifest is not None
    assert manifest.name == "qwen3-0.6b"
    assert manifest.prompt_style == "bare"
    training = manifest.training
    assert training is not None
    assert training.seed == 1
    assert training.questions == {"depression": 4, "stress": 4, "wellness.social": 4}
    (part,) = training.data
    assert (part.name, part.rows) == ("train.parquet", 12)
    assert part.sha256 == load_prepared(data).checksums["train.parquet"]


def test_the_report_says_where_on_what_and_how_fast(evaluated) -> None:
    said = report(evaluated)
    assert said["machine"]["torch"] == torch.__version__
    assert said["data"]["examples"] == {"DR": 4, "dreaddit": 4, "MultiWD": 4}
    assert said["data"]["explained"] == {"DR": 0, "dreaddit": 4, "MultiWD": 0}
    assert said["data"]["rows"] == 12
    assert said["recipe"]["optimisation"]["max_steps"] == 4
    (session,) = said["sessions"]
    assert session["tokens_per_second"] > 0
    assert 0 < session["flops_utilisation"] < 1


def test_the_report_holds_the_curve_and_the_evaluations(evaluated) -> None:
    assert sorted(curve(evaluated)) == [1, 2, 3, 4]
    assert sorted(curve(evaluated, "tokens_per_second")) == [1, 2, 3, 4]
    assert sorted(curve(evaluated, "flops_utilisation")) == [1, 2, 3, 4]
    for figure in (f"eval_{METRIC}", "eval_DR", "eval_dreaddit", "eval_MultiWD"):
        found = curve(evaluated, figure)
        assert sorted(found) == [2, 4]
        assert all(0 <= value <= 1 for value in found.values())


def test_the_last_step_is_evaluated_too_and_can_be_the_best(runs) -> None:
    folder = runs("last", "optimisation.max_steps=3", *EVALUATED)
    assert sorted(curve(folder, f"eval_{METRIC}")) == [2, 3]
    state = json.loads((folder / "checkpoint-3" / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"].rpartition("-")[2] in ("2", "3")
    assert {entry["step"] for entry in state["log_history"] if f"eval_{METRIC}" in entry} == {2, 3}


def test_tensorboard_gets_the_curve(evaluated) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(evaluated / "tensorboard"))
    found.Reload()
    tags = set(found.Tags()["scalars"])
    assert {"train/loss", "train/tokens_per_second", "train/flops_utilisation"} <= tags
    assert f"eval/{METRIC}" in tags
    losses = {event.step: event.value for event in found.Scalars("train/loss")}
    assert losses == pytest.approx(curve(evaluated))


def test_no_tracker_leaves_nothing(runs) -> None:
    folder = runs("untracked", "optimisation.max_steps=1", "trackers=[]")
    assert not (folder / "tensorboard").exists()


def test_no_file_holds_a_post_and_nothing_that_is_said_does(runs, evaluated, capfd) -> None:
    folder = runs("canary", "optimisation.max_steps=1", "checkpoints.every=1")
    captured = capfd.readouterr()
    shown = captured.out + captured.err + "".join(runs.said)
    assert "Step 1 of 1: loss" in shown
    for post in POSTS:
        part = post[:24]
        assert part not in shown
        for made in (folder, evaluated):
            files = [path for path in made.rglob("*") if path.is_file()]
            assert len(files) > 15
            assert not [path for path in files if part.encode() in path.read_bytes()]


def test_a_person_reads_lines_and_not_the_trainer_s_own(runs, capfd) -> None:
    runs("lines", "optimisation.max_steps=2", "log_every=2")
    captured = capfd.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Step 1 of 2", "Step 2 of 2"]


def test_nothing_is_reported_to_the_hub(runs) -> None:
    from huggingface_hub import constants

    runs("quiet", "optimisation.max_steps=1")
    assert constants.HF_HUB_DISABLE_TELEMETRY is True


# What is trained.


@pytest.mark.parametrize("layout", ["padded", "shared", "packed"])
def test_a_step_is_the_same_however_it_is_cut_into_batches(runs, layout) -> None:
    """A large epsilon makes AdamW's step follow the gradient and not its sign alone."""
    usual = [
        "optimisation.max_steps=2",
        "optimisation.epsilon=1.0",
        "optimisation.learning_rate=0.5",
        "optimisation.warmup=0",
        "balance.sets=sqrt",
        "data.max_tokens=96",
        f"layout={layout}",
    ]
    cuts = {(8, 1), (1, 8), (2, 4)}
    folders = [
        runs(
            f"cut-{layout}-{batch}",
            *usual,
            f"optimisation.batch_sequences={batch}",
            f"optimisation.gradient_accumulation={accumulated}",
        )
        for batch, accumulated in sorted(cuts)
    ]
    moved = furthest(folders[0] / "model", Path(runs.usual[1].partition("=")[2]))
    assert moved > 1e-2
    for other in folders[1:]:
        assert curve(other) == pytest.approx(curve(folders[0]), rel=1e-5)
        assert curve(other, "grad_norm") == pytest.approx(curve(folders[0], "grad_norm"), rel=1e-4)
        assert furthest(folders[0] / "model", other / "model") < 1e-5


def test_by_tokens_too_a_step_is_the_same_however_it_is_cut(runs) -> None:
    usual = ["optimisation.max_steps=1", "loss.answer_weight=null", "loss.normalise=token"]
    whole = runs("tokens-8", *usual, "optimisation.batch_sequences=8")
    cut = runs(
        "tokens-1",
        *usual,
        "optimisation.batch_sequences=1",
        "optimisation.gradient_accumulation=8",
    )
    assert curve(cut) == pytest.approx(curve(whole), rel=1e-5)
    assert curve(cut, "grad_norm") == pytest.approx(curve(whole, "grad_norm"), rel=1e-4)


def test_layouts_train_the_same(runs) -> None:
    """One step over all rows: their order does not matter then."""
    usual = ["optimisation.max_steps=1", "optimisation.batch_sequences=16"]
    losses = [
        curve(runs(f"layout-{layout}", *usual, f"layout={layout}"))[1]
        for layout in ("padded", "shared", "packed")
    ]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)


def test_a_run_is_repeatable_and_its_seed_counts(runs) -> None:
    lora = [STEPS, "method.kind=lora", "method.dropout=0.1"]
    folders = [runs(f"seed-{name}", *lora, f"seed={name[0]}") for name in ("1a", "1b", "2a")]
    assert curve(folders[0]) == curve(folders[1])
    assert furthest(folders[0] / "model", folders[1] / "model") == 0
    assert curve(folders[0]) != curve(folders[2])


def test_an_adapter_is_all_that_a_lora_run_trains_and_it_can_be_loaded(runs, model) -> None:
    from peft import PeftModel

    folder = runs("lora", STEPS, "method.kind=lora", "precision.gradient_checkpointing=true")
    names = {path.name for path in (folder / "model").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "mentalllama.json"} <= names
    assert not [name for name in names if name.startswith("model") or name.endswith(".bin")]
    assert all("lora_" in name for name in weights(folder / "model"))
    plain = load(model).eval()
    ids = torch.tensor([[5, 300, 17]])
    before = plain(ids).logits
    tuned = PeftModel.from_pretrained(plain, folder / "model").eval()
    assert not torch.allclose(tuned(ids).logits, before, atol=1e-3)
    with tuned.disable_adapter():
        torch.testing.assert_close(tuned(ids).logits, before)


def test_embeddings_are_trained_beside_an_adapter_where_that_is_asked(runs, model) -> None:
    folder = runs("embeddings", STEPS, "method.kind=lora", "method.train_embeddings=true")
    tensors = weights(folder / "model")
    (name,) = [name for name in tensors if "lm_head" in name]
    assert not torch.allclose(tensors[name], weights(model)["lm_head.weight"], atol=1e-3)


# Every recipe that ships.

ARCHITECTURES = {"qwen3-0.6b": "Qwen3ForCausalLM"}


def test_4_bit_weights_are_refused_without_a_gpu(runs, monkeypatch) -> None:
    import training.sft.machine

    cpu = Machine("cpu", "CPU", 1, 2**40)
    monkeypatch.setattr(training.sft.machine, "find_machine", lambda: cpu)
    path = runs.recipe_file("qlora", "method.kind=qlora", "precision.weights=bfloat16")
    result = CliRunner().invoke(app, ["sft", str(path)])
    assert result.exit_code == ExitCode.RECIPE
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: method.kind=qlora needs a GPU and this machine has none")
    assert "take model.attention=sdpa, method.kind=lora" in line
    assert not (runs.folder / "qlora").exists()


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_trains_a_tiny_model_of_its_architecture(name, data, tmp_path) -> None:
    """Only base, data, output and length are changed, and what needs a GPU."""
    architecture = ARCHITECTURES.get(name, "LlamaForCausalLM")
    layers = read_recipe(name).method.frozen_layers + 2
    small = base(
        tmp_path / "base",
        architecture,
        tie_word_embeddings=name == "qwen3-0.6b",
        num_hidden_layers=layers,
    )
    made = resolve(
        name,
        [
            f"model.base={small}",
            f"data.path={data}",
            f"output={tmp_path / 'out'}",
            "optimisation.max_steps=2",
        ],
    ).recipe
    said: list[str] = []
    result = run(made, resume=True, announce=said.append)
    losses = curve(tmp_path / "out")
    assert 1 in losses
    assert all(0 < loss < 100 for loss in losses.values())
    assert sorted(curve(tmp_path / "out", f"eval_{METRIC}")) == [2]
    manifest = load_manifest(result)
    assert manifest is not None
    assert manifest.name == name
    if made.method.kind == "full":
        assert furthest(result, small) > 0
        kinds = {tensor.dtype for tensor in weights(result).values()}
        assert kinds == {getattr(torch, made.precision.weights)}
    else:
        assert any(tensor.abs().sum() > 0 for n, tensor in weights(result).items() if "lora_B" in n)
