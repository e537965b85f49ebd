"""The sizing tables: up to date, and bounds that behave like bounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtests.needed import Shape
from scripts import sizing

SEVEN = sizing.MODELS["MentaLLaMA 7B"]
H100 = next(device for device in sizing.DEVICES if device.name.startswith("H100"))


def test_the_page_holds_what_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    assert sizing.main(["--check"]) == 0, capsys.readouterr().out


def test_the_embedded_models_shape_is_its_own(embedded_model: Path) -> None:
    config = json.loads((embedded_model / "config.json").read_text())
    assert Shape.of(config) == sizing.MODELS["embedded, 135M"]


def test_seven_billion_parameters_take_what_they_take() -> None:
    # 6.74 billion parameters (Llama 2, arXiv 2307.09288): two bytes each, and two more for each of
    # the output layer's 32,000 x 4,096, which is served in float32.
    assert sizing.weight_bytes(SEVEN) == pytest.approx(6.74e9 * 2 + 32000 * 4096 * 2, rel=0.01)
    assert SEVEN.cache_bytes == 512 * 1024


def test_more_never_bounds_lower() -> None:
    for name, shape in sizing.MODELS.items():
        for device in sizing.DEVICES:
            gpus = sizing.gpus_needed(shape, device)
            labels = sizing.labels_a_second(shape, device, gpus)
            explained = sizing.explained_a_second(shape, device, gpus)
            assert 0 < explained < labels, (name, device.name)
            assert sizing.explained_a_second(shape, device, 2 * gpus) > explained
            assert sizing.cached_tokens(shape, device, gpus) > 64 * 300
