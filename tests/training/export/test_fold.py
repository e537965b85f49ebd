"""Full fine-tuning folded into an adapter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from imhi.tasks import WORDING_VERSION
from service.adapter import WEIGHTS_FILE, Adapter
from service.analysis.manifest import Manifest, PromptStyle, write_manifest
from tests.lazy import safetensors, torch
from tests.training.export.trained import RANK, make_base, make_tuned
from training.errors import ModelFilesError, UsageError
from training.export.files import write_checksums
from training.export.fold import FactorType, Limit, fold
from training.export.merge import load_model, merged, with_adapter
from training.export.moments import collect_moments
from training.export.weights import Part

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def models(request, tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    base = make_base(folder / "base", tied=request.param)
    return base, make_tuned(folder / "tuned", base)


def served(base: Path, adapter: Path):
    """The base with the adapter merged as the service does it."""
    manifest = Manifest(
        schema_version=1,
        name="folded",
        prompt_style=PromptStyle.BARE,
        wording_version=WORDING_VERSION,
    )
    write_manifest(adapter, manifest)
    write_checksums(adapter)
    model = load_model(base)
    Adapter.load(adapter).merge_into(model)
    return model


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.arange(2, 30)[None]).logits


def test_a_change_of_the_rank_comes_back(models, tmp_path):
    base, tuned = models
    report = fold(base, tuned, tmp_path, Limit(rank=RANK), base_name="org/base")
    assert report.kept > 0.9999
    assert {layer.rank for layer in report.layers if layer.part is not Part.NORM} == {RANK}
    wanted = logits(load_model(tuned))
    before = (logits(load_model(base)) - wanted).abs().max()
    assert (logits(served(base, tmp_path)) - wanted).abs().max() < 0.02 * before
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "org/base"
    assert config["lora_alpha"] == config["r"] == RANK


def test_peft_reads_it_the_same(models, tmp_path):
    base, tuned = models
    fold(base, tuned, tmp_path, Limit(size=20_000))
    ours = logits(served(base, tmp_path))
    peft = logits(merged(with_adapter(load_model(base), tmp_path)))
    assert torch.allclose(ours, peft, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 30.0])
def test_factors_of_eight_bits_are_near(models, tmp_path, scale):
    """The change's size does not matter: a factor is brought into the type's range."""
    base, tuned = models
    before, after = (
        safetensors.load_file(base / "model.safetensors"),
        safetensors.load_file(tuned / "model.safetensors"),
    )
    scaled = tmp_path / "scaled"
    shutil.copytree(tuned, scaled)
    safetensors.save_file(
        {name: before[name] + scale * (after[name] - before[name]) for name in before},
        scaled / "model.safetensors",
        metadata={"format": "pt"},
    )
    kept = {}
    for kind in FactorType:
        folder = tmp_path / kind
        folder.mkdir()
        report = fold(base, scaled, folder, Limit(rank=RANK, factors=kind))
        kept[kind] = report.kept
        sizes = {
            tensor.element_size()
            for tensor in safetensors.load_file(folder / WEIGHTS_FILE).values()
        }
        assert sizes == {kind.bytes, 4}  # norms are kept in float32
    assert kept[FactorType.BFLOAT16] > 0.9999
    assert 0.994 < kept[FactorType.FLOAT8] < kept[FactorType.BFLOAT16]
    folder = tmp_path / FactorType.FLOAT8
    ours = logits(served(base, folder))
    assert torch.allclose(ours, logits(merged(with_adapter(load_model(base), folder))), atol=1e-4)


def test_the_cut_is_the_best_of_its_rank(models, tmp_path):
    base, tuned = models
    report = fold(base, tuned, tmp_path, Limit(rank=1))
    before, after = load_model(base).state_dict(), load_model(tuned).state_dict()
    for layer in report.layers:
        if layer.part is Part.NORM:
            continue
        delta = after[layer.name] - before[layer.name]
        values = torch.linalg.svdvals(delta).square()
        assert layer.kept == pytest.approx(float(values[0] / values.sum()), abs=1e-3)
        assert layer.norm == pytest.approx(float(delta.square().sum()), rel=1e-4)
    assert sum(report.lost.values()) == pytest.approx(1 - report.kept)


def test_norms_are_kept_whole(models, tmp_path):
    base, tuned = models
    report = fold(base, tuned, tmp_path, Limit(rank=1))
    weights, after = (
        safetensors.load_file(tmp_path / "adapter_model.safetensors"),
        load_model(tuned),
    )
    norms = [layer.name for layer in report.layers if layer.part is Part.NORM]
    assert len(norms) == 5
    for name in norms:
        kept = weights[f"base_model.model.{name}"]
        assert torch.equal(kept, after.get_parameter(name))
    assert report.lost[Part.NORM] == 0


@pytest.mark.parametrize("size", [12_000, 16_000, 30_000])
def test_a_size_is_not_exceeded_and_is_used(models, tmp_path, size):
    base, tuned = models
    report = fold(base, tuned, tmp_path, Limit(size=size))
    assert report.size == (tmp_path / "adapter_model.safetensors").stat().st_size
    assert size * 0.4 < report.size <= size


def test_a_size_keeps_more_than_the_same_rank_everywhere(models, tmp_path):
    base, tuned = models
    for name in ("rank", "size"):
        (tmp_path / name).mkdir()
    even = fold(base, tuned, tmp_path / "rank", Limit(rank=1))
    given_out = fold(base, tuned, tmp_path / "size", Limit(size=even.size + 8_000))
    assert given_out.kept > even.kept
    assert len({layer.rank for layer in given_out.layers if layer.rank}) > 1


def test_moments_keep_what_texts_need(models, tmp_path):
    base, tuned = models
    texts = [tuple(range(start, start + 12)) for start in range(2, 40)]
    moments = collect_moments(load_model(tuned), texts)
    for name in ("plain", "weighted"):
        (tmp_path / name).mkdir()
    plain = fold(base, tuned, tmp_path / "plain", Limit(rank=1))
    weighted = fold(base, tuned, tmp_path / "weighted", Limit(rank=1), moments=moments)
    assert (plain.weighted, weighted.weighted) == (False, True)
    assert weighted.kept < plain.kept  # the matrix itself is kept less well, its outputs better
    before, after = load_model(base).state_dict(), load_model(tuned).state_dict()
    errors = {}
    for name in ("plain", "weighted"):
        factors = safetensors.load_file(tmp_path / name / "adapter_model.safetensors")
        total = 0.0
        for layer, moment in moments.items():
            stem = f"base_model.model.{layer.removesuffix('.weight')}"
            product = (
                factors[f"{stem}.lora_B.weight"].float() @ factors[f"{stem}.lora_A.weight"].float()
            )
            left = after[layer] - before[layer] - product
            total += float(((left @ moment) * left).sum())
        errors[name] = total
    assert errors["weighted"] < 0.95 * errors["plain"]


def test_moments_are_means_of_products(models):
    base, _ = models
    model = load_model(base)
    inputs = []
    name = "model.layers.0.mlp.down_proj"
    handle = model.get_submodule(name).register_forward_pre_hook(
        lambda _, given: inputs.append(given[0][0, 1:])  # the first token is left out
    )
    texts = [(2, 3, 4), (5, 6)]
    moments = collect_moments(model, texts)
    handle.remove()
    rows = torch.cat(inputs)
    assert rows.shape[0] == 3
    assert torch.allclose(moments[f"{name}.weight"], rows.T @ rows / 3, atol=1e-5)
    assert "lm_head.weight" not in moments


def test_a_change_in_the_body_alone_leaves_the_embedding_out(tmp_path):
    base = make_base(tmp_path / "base", tied=True)
    tuned = make_tuned(tmp_path / "tuned", base, embeddings=False)
    (tmp_path / "out").mkdir()
    report = fold(base, tuned, tmp_path / "out", Limit(rank=RANK))
    assert Part.EMBEDDING not in report.lost
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert not any("embed" in name for name in config["target_modules"])


def test_another_architecture_is_refused(models, tmp_path):
    base, tuned = models
    other = make_base(tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"intermediate_size": 128}))
    with pytest.raises(ModelFilesError, match="not of one architecture"):
        fold(other, tuned, tmp_path, Limit(rank=1))
    with pytest.raises(ModelFilesError, match="does not differ from its base"):
        fold(base, base, tmp_path, Limit(rank=1))


def test_numbers_that_are_not_finite_are_refused(models, tmp_path):
    base, tuned = models
    weights = safetensors.load_file(tuned / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((tuned / "config.json").read_bytes())
    safetensors.save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFilesError, match="not finite"):
        fold(base, broken, tmp_path, Limit(rank=1))


def test_a_limit_is_one_of_two():
    for arguments in ({}, {"rank": 4, "size": 4}, {"rank": 0}):
        with pytest.raises(UsageError):
            Limit(**arguments)


def test_a_size_that_nothing_fits_is_refused(models, tmp_path):
    base, tuned = models
    with pytest.raises(UsageError, match="raise --max-megabytes"):
        fold(base, tuned, tmp_path, Limit(size=1000))
