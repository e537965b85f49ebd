"""Whole runs on a tiny model: what they do and what they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service import processor
from service.analysis.manifest import load_manifest
from tests.lazy import torch
from tests.training.sft.recipes import POSTS
from tests.training.sft.runs import Runs, curve, furthest, report, weights
from tests.training.sft.tiny import base, load
from training.data.prepared import load_prepared
from training.sft.overrides import resolve
from training.sft.recipe_file import read_recipe, shipped
from training.sft.run import run
from training.sft.watch import METRIC

pytestmark = pytest.mark.xdist_group("training-runs")


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
    assert said["machine"]["torch"] == torch.version.__version__
    assert said["data"]["examples"] == {"DR": 4, "dreaddit": 4, "MultiWD": 4}
    assert said["data"]["explained"] == {"DR": 0, "dreaddit": 4, "MultiWD": 0}
    assert said["data"]["rows"] == 12
    assert said["recipe"]["optimisation"]["max_steps"] == 5
    (session,) = said["sessions"]
    assert session["tokens_per_second"] > 0
    assert 0 < session["flops_utilisation"] < 1


def test_the_report_holds_the_curve_and_the_evaluations(evaluated) -> None:
    assert sorted(curve(evaluated)) == [1, 2, 3, 4, 5]
    assert sorted(curve(evaluated, "tokens_per_second")) == [1, 2, 3, 4, 5]
    assert sorted(curve(evaluated, "flops_utilisation")) == [1, 2, 3, 4, 5]
    for figure in (f"eval_{METRIC}", "eval_DR", "eval_dreaddit", "eval_MultiWD"):
        found = curve(evaluated, figure)
        assert sorted(found) == [2, 4, 5]
        assert all(0 <= value <= 1 for value in found.values())


def test_the_last_step_is_evaluated_too_and_can_be_the_best(evaluated) -> None:
    state = json.loads((evaluated / "checkpoint-5" / "trainer_state.json").read_text())
    scored = [entry["step"] for entry in state["log_history"] if f"eval_{METRIC}" in entry]
    assert scored == [2, 4, 5]
    assert state["best_model_checkpoint"].rpartition("-")[2] in ("2", "4", "5")


def test_tensorboard_gets_the_curve(evaluated) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(evaluated / "tensorboard"))
    found.Reload()
    tags = set(found.Tags()["scalars"])
    assert {"train/loss", "train/tokens_per_second", "train/flops_utilisation"} <= tags
    assert f"eval/{METRIC}" in tags
    losses = {event.step: event.value for event in found.Scalars("train/loss")}
    assert losses == pytest.approx(curve(evaluated))


def test_a_run_shows_its_own_lines_and_no_post_anywhere(runs, evaluated, capfd) -> None:
    from huggingface_hub import constants

    folder = runs(
        "lines", "optimisation.max_steps=2", "log_every=2", "checkpoints.every=2", "trackers=[]"
    )
    captured = capfd.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Step 1 of 2", "Step 2 of 2"]
    assert not (folder / "tensorboard").exists()
    assert constants.HF_HUB_DISABLE_TELEMETRY is True
    shown = captured.err + "".join(runs.said)
    for post in POSTS:
        part = post[:24]
        assert part not in shown
        for made in (folder, evaluated):
            files = [path for path in made.rglob("*") if path.is_file()]
            assert len(files) > 15
            assert not [path for path in files if part.encode() in path.read_bytes()]


# What is trained.


def train_whole_and_cut(runs: Runs, name: str, *overrides: str) -> float:
    """Train on all rows a step, at once and in parts: the same; returns the first loss.

    A large epsilon makes AdamW's step follow the gradient and not its sign alone.
    """
    usual = (
        "optimisation.max_steps=2",
        "optimisation.epsilon=1.0",
        "optimisation.learning_rate=0.5",
        "optimisation.warmup=0",
        "balance.sets=sqrt",
        "data.max_tokens=320",
        *overrides,
    )
    whole, parts = (
        runs(
            f"{name}-{batch}",
            *usual,
            f"optimisation.batch_sequences={batch}",
            f"optimisation.gradient_accumulation={accumulated}",
        )
        for batch, accumulated in ((12, 1), (2, 6))
    )
    assert sorted(curve(whole)) == [1, 2]
    assert furthest(whole / "model", Path(runs.usual[1].partition("=")[2])) > 1e-2
    assert curve(parts) == pytest.approx(curve(whole), rel=1e-5)
    assert curve(parts, "grad_norm") == pytest.approx(curve(whole, "grad_norm"), rel=1e-4)
    assert furthest(whole / "model", parts / "model") < 1e-5
    return curve(whole)[1]


@pytest.mark.slow
def test_a_step_is_the_same_in_every_layout_and_however_it_is_cut_into_batches(runs) -> None:
    layouts = ("padded", "shared", "packed")
    losses = [train_whole_and_cut(runs, layout, f"layout={layout}") for layout in layouts]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)


def test_by_tokens_too_a_step_is_the_same_however_it_is_cut(runs) -> None:
    train_whole_and_cut(runs, "tokens", "loss.answer_weight=null", "loss.normalise=token")


LORA = (
    "optimisation.max_steps=3",
    "method.kind=lora",
    "method.dropout=0.1",
    "precision.gradient_checkpointing=true",
)


@pytest.fixture(scope="module")
def lora(runs: Runs) -> Path:
    return runs("lora", *LORA)


def test_a_run_is_repeatable_and_its_seed_counts(runs, lora) -> None:
    again = runs("again", *LORA)
    assert curve(again) == curve(lora)
    assert furthest(again / "model", lora / "model") == 0
    assert curve(runs("other", *LORA, "seed=2")) != curve(lora)


def test_an_adapter_is_all_that_a_lora_run_trains_and_it_can_be_loaded(lora, model) -> None:
    from peft import PeftModel

    names = {path.name for path in (lora / "model").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "mentalllama.json"} <= names
    assert not [name for name in names if name.startswith("model") or name.endswith(".bin")]
    assert all("lora_" in name for name in weights(lora / "model"))
    plain = load(model).eval()
    ids = torch.tensor([[5, 300, 17]])
    before = plain(ids).logits
    tuned = PeftModel.from_pretrained(plain, lora / "model").eval()
    assert not torch.allclose(tuned(ids).logits, before, atol=1e-3)
    with tuned.disable_adapter():
        torch.testing.assert_close(tuned(ids).logits, before)


def test_embeddings_are_trained_beside_an_adapter_where_that_is_asked(runs, model) -> None:
    folder = runs("embeddings", *LORA, "method.train_embeddings=true")
    tensors = weights(folder / "model")
    (name,) = [name for name in tensors if "lm_head" in name]
    assert not torch.allclose(tensors[name], weights(model)["lm_head.weight"], atol=1e-3)


# Every recipe that ships.

ARCHITECTURES = {"qwen3-0.6b": "Qwen3ForCausalLM"}


# One is enough for `make test`.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "mentalllama-33b-lora" else pytest.mark.slow)
        for name in shipped()
    ],
)
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
