"""Exports from start to end, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imhi.tasks import WORDING_VERSION
from service.adapter import Adapter
from service.analysis.manifest import (
    CalibrationEntry,
    Manifest,
    PromptStyle,
    Result,
    Training,
    load_manifest,
    write_manifest,
)
from tests.lazy import safetensors, torch
from tests.models import lora_adapter, merge_adapter
from tests.training.export.test_checks import prepared
from tests.training.export.trained import RANK, make_base, make_tuned
from training.data.example import Split
from training.errors import ModelFilesError, UsageError
from training.export.files import Kind
from training.export.fold import Limit
from training.export.merge import load_model
from training.export.quantize import Quantization
from training.export.report import ExportReport, Way
from training.export.run import Export, export

ASKED = {"stress": 10, "stress_cause": 10, "wellness.social": 10}
MANIFEST = Manifest(
    schema_version=1,
    name="trained",
    base_model="org/base",
    prompt_style=PromptStyle.BARE,
    wording_version=WORDING_VERSION,
    calibration={"stress": CalibrationEntry(temperature=2.0)},
    training=Training(recipe="a-recipe", questions=ASKED),
    results=(Result(set="DR", split="val", metric="ece", value=0.1, command="c"),),
    licence="Apache-2.0",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    directory = make_base(tmp_path_factory.mktemp("base") / "base")
    (directory / "LICENSE").write_text("the base's licence")
    return directory


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, base) -> Path:
    directory = make_tuned(tmp_path_factory.mktemp("tuned") / "tuned", base)
    write_manifest(directory, MANIFEST)
    (directory / "training_args.bin").write_text("what a trainer leaves")
    return directory


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, base) -> Path:
    return lora_adapter(tmp_path_factory.mktemp("adapter") / "adapter", base)


def exported(**wanted) -> ExportReport:
    lines: list[str] = []
    return export(Export(**wanted), lines.append)


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.arange(2, 30)[None]).logits


def test_a_whole_model(tuned, tmp_path):
    report = exported(model=tuned, output=tmp_path / "out")
    assert (report.kind, report.way, report.fold) == (Kind.MODEL, Way.COPIED, None)
    assert report.check is not None
    assert report.check.passed
    # Sixteen posts, the three questions that the manifest says it was trained on.
    assert (report.check.found.posts, report.check.found.reads) == (16, 48)
    held = set(names(tmp_path / "out"))
    assert {"README.md", "checksums.sha256", "config.json", "export.json"} <= held
    assert {"mentalllama.json", "model.safetensors", "tokenizer.json"} <= held
    assert not any(name.endswith((".bin", ".pt", ".py")) for name in held)
    assert load_manifest(tmp_path / "out") == MANIFEST
    written = safetensors.load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}
    saved = ExportReport.model_validate_json((tmp_path / "out" / "export.json").read_bytes())
    assert saved == report


def test_an_adapter_is_merged_into_its_base(base, adapter, tmp_path):
    report = exported(model=adapter, output=tmp_path / "out", dtype="float32")
    assert report.way is Way.MERGED
    assert report.check is not None
    assert report.check.found.changed == 0
    assert report.check.found.most_moved < 1e-4
    wanted = load_model(base)
    merge_adapter(wanted, adapter)
    assert torch.allclose(logits(load_model(tmp_path / "out")), logits(wanted), atol=1e-4)
    assert (tmp_path / "out" / "LICENSE").read_text() == "the base's licence"
    manifest = load_manifest(tmp_path / "out")
    assert manifest is not None
    assert manifest.name == "adapter"
    assert str(base.parent) not in (tmp_path / "out" / "mentalllama.json").read_text()


def test_the_base_may_be_named_and_the_adapter_given_beside_it(base, adapter, tmp_path):
    one = exported(model=base, adapter=adapter, output=tmp_path / "a")
    two = exported(model=adapter, base=str(base), output=tmp_path / "b")
    assert (one.way, one.source, one.base) == (two.way, two.source, two.base)
    paths = [tmp_path / name / "model.safetensors" for name in ("a", "b")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_an_adapter_can_stay_one(base, adapter, tmp_path):
    report = exported(model=adapter, output=tmp_path / "out", keep_adapter=True, name="small")
    assert (report.kind, report.way) == (Kind.ADAPTER, Way.COPIED)
    model = load_model(base)
    Adapter.load(tmp_path / "out").merge_into(model)  # as the service takes it
    wanted = load_model(base)
    merge_adapter(wanted, adapter)
    far = (logits(load_model(base)) - logits(wanted)).abs().max()
    assert (logits(model) - logits(wanted)).abs().max() < 0.05 * far
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert str(base) not in json.dumps(config)
    assert (tmp_path / "out" / "BASE-LICENSE").is_file()


def test_a_fold_and_the_way_back(base, tuned, tmp_path):
    report = exported(
        model=tuned,
        base=str(base),
        output=tmp_path / "folded",
        fold=Limit(rank=RANK),
        max_changed=0.1,
    )
    assert (report.kind, report.way) == (Kind.ADAPTER, Way.FOLDED)
    assert report.fold is not None
    assert report.fold.kept > 0.999
    # Figures of other weights are not this one's.
    assert len(report.manifest_changes) == 2
    manifest = load_manifest(tmp_path / "folded")
    assert manifest is not None
    assert manifest.results == ()
    back = exported(
        model=tmp_path / "folded", base=str(base), output=tmp_path / "back", max_changed=0.1
    )
    assert back.check is not None
    assert back.check.found.most_moved < 0.1
    wanted, before = logits(load_model(tuned)), logits(load_model(base))
    far = (before - wanted).abs().max()
    assert (logits(load_model(tmp_path / "back")) - wanted).abs().max() < 0.05 * far


def test_fewer_bits(tuned, tmp_path):
    report = exported(
        model=tuned, output=tmp_path / "out", quantization=Quantization.INT8, max_changed=0.3
    )
    assert (report.quantization, report.rounding) == (Quantization.INT8, "nearest")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "compressed-tensors"
    assert report.check is not None
    assert report.check.found.mean_moved < 0.1


def test_an_export_that_says_something_else_is_rejected(base, tuned, tmp_path):
    with pytest.raises(ModelFilesError, match="gives another label than the trained one") as caught:
        exported(model=tuned, base=str(base), output=tmp_path / "out", fold=Limit(size=6_000))
    assert "out.rejected" in caught.value.message
    assert names(tmp_path) == ["out.rejected"]
    report = json.loads((tmp_path / "out.rejected" / "export.json").read_text())
    assert report["check"]["passed"] is False
    assert report["check"]["found"]["share_changed"] > 0.02


def test_weights_that_are_not_finite_are_refused(tuned, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in tuned.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    weights = safetensors.load_file(broken / "model.safetensors")
    weights["lm_head.weight"][0, 0] = float("inf")
    safetensors.save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFilesError, match="not finite"):
        exported(model=broken, output=tmp_path / "out")
    assert names(tmp_path) == ["broken"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fold": Limit(rank=2)}, "--base"),
        ({"fold": Limit(rank=2), "base": "absent"}, "--base"),
        ({"keep_adapter": True}, "needs an adapter"),
        ({"quantize_python": Path("python")}, "needs --quantize"),
        ({"fold": Limit(rank=2), "quantization": Quantization.INT8}, "is not quantized"),
        ({"weighted": True}, "needs --data"),
    ],
)
def test_options_that_do_not_go_together(tuned, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        exported(model=tuned, output=tmp_path / "out", **options)
    assert not names(tmp_path)


def test_a_fold_can_be_weighed_with_training_texts(base, tuned, tmp_path):
    data = prepared(tmp_path / "data", Split.TRAIN, Split.VAL)
    report = exported(
        model=tuned,
        base=str(base),
        output=tmp_path / "out",
        fold=Limit(rank=2),
        data=data,
        posts=3,
        weighted=True,
        max_changed=1,
    )
    assert report.fold is not None
    assert report.fold.weighted
    outputs = [layer for layer in report.fold.layers if layer.kept_output is not None]
    assert len(outputs) == 14
    assert all(layer.kept_output > 0.5 for layer in outputs)
    assert report.check is not None
    assert report.check.posts == "3 validation posts of the prepared data"
    assert "diary" not in (tmp_path / "out" / "export.json").read_text()
