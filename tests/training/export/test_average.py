"""The mean of models: weights, manifest, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imhi.tasks import WORDING_VERSION
from service.analysis.manifest import (
    CalibrationEntry,
    Manifest,
    PromptStyle,
    Result,
    Training,
    TrainingData,
    load_manifest,
    write_manifest,
)
from service.weights import digest
from tests.lazy import torch
from tests.models import lora_adapter, tiny_llama
from tests.tokenizers import word_tokenizer
from tests.training.export.trained import make_base, make_tuned
from training.errors import ModelFilesError, UsageError
from training.export.average import REPORT_FILE, average
from training.export.merge import load_model


def manifest(name: str, seed: int, rows: dict[str, int], data: str) -> Manifest:
    return Manifest(
        schema_version=1,
        name=name,
        base_model="org/base",
        prompt_style=PromptStyle.BARE,
        wording_version=WORDING_VERSION,
        calibration={"stress": CalibrationEntry(temperature=2.0)},
        training=Training(
            recipe="a-recipe",
            seed=seed,
            questions=rows,
            data=(TrainingData(name="train.parquet", sha256=data * 64, rows=5),),
        ),
        results=(Result(set="DR", split="val", metric="ece", value=0.1, command="c"),),
        licence="Apache-2.0",
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    here = tmp_path_factory.mktemp("models")
    base = make_base(here / "base")
    (base / "LICENSE").write_text("the base's licence")
    first, second = make_tuned(here / "one", base), make_tuned(here / "two", base, rank=1)
    (first / "LICENSE").write_text("the first model's licence")
    write_manifest(first, manifest("one", 1, {"stress": 5, "depression": 2}, "a"))
    write_manifest(second, manifest("two", 2, {"stress": 7}, "b"))
    return [base, first, second]


def quiet(line: str) -> None:
    del line


def test_each_weight_is_the_mean(models: list[Path], tmp_path: Path) -> None:
    said: list[str] = []
    average(models, tmp_path / "mean", said.append)
    mean = dict(load_model(tmp_path / "mean").named_parameters())
    parts = [dict(load_model(model).named_parameters()) for model in models]
    assert mean.keys() == parts[0].keys()
    for name, weight in mean.items():
        expected = torch.stack([part[name].double() for part in parts]).mean(0)
        torch.testing.assert_close(weight.double(), expected, atol=1e-6, rtol=0)
    assert len(said) == len(models)


def test_the_manifest_tells_of_all_and_claims_nothing_measured(
    models: list[Path], tmp_path: Path
) -> None:
    average(models[1:], tmp_path / "mean", quiet)
    said = load_manifest(tmp_path / "mean")
    assert said is not None
    assert (said.name, said.base_model, said.licence) == ("one", "org/base", "Apache-2.0")
    assert not said.calibration
    assert not said.results
    assert said.training is not None
    assert [file.sha256[0] for file in said.training.data] == ["a", "b"]
    assert said.training.seed is None
    assert said.training.questions == {"stress": 7, "depression": 2}
    assert "mean of 2 models" in said.notes
    assert (tmp_path / "mean" / "LICENSE").read_text() == "the first model's licence"
    report = json.loads((tmp_path / "mean" / REPORT_FILE).read_text())
    assert report["models"] == [
        {"model.safetensors": digest(model / "model.safetensors")} for model in models[1:]
    ]


def test_only_an_average_is_replaced(models: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did not write"):
        average(models, models[0], quiet, replace=True)
    average(models, tmp_path / "mean", quiet)
    with pytest.raises(UsageError, match="--replace"):
        average(models, tmp_path / "mean", quiet)
    average(models[:2], tmp_path / "mean", quiet, replace=True)
    assert len(json.loads((tmp_path / "mean" / REPORT_FILE).read_text())["models"]) == 2


def test_what_does_not_go_together_is_refused(models: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two models or more"):
        average(models[:1], tmp_path / "mean", quiet)
    adapter = lora_adapter(tmp_path / "adapter", models[0])
    with pytest.raises(ModelFilesError, match="is an adapter: merge it"):
        average([models[0], adapter], tmp_path / "mean", quiet)
    other = load_model(tiny_llama(tmp_path / "other", word_tokenizer()))
    other.config.num_hidden_layers = 1
    del other.model.layers[1]
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ModelFilesError, match=r"another architecture .*layers\.1"):
        average([models[0], tmp_path / "other"], tmp_path / "mean", quiet)
    assert not (tmp_path / "mean").exists()
