"""What is said of an engine that an Analyzer is made on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from service import processor, serving


@pytest.mark.parametrize(
    ("lacks", "dtype", "quantization", "said"),
    [
        (True, "torch.bfloat16", None, True),
        (True, "torch.float16", None, True),
        (True, "torch.float32", None, False),
        (True, "torch.bfloat16", "compressed-tensors", False),
        (False, "torch.bfloat16", None, False),
    ],
)
def test_a_type_that_is_slow_here(
    monkeypatch, lacks: bool, dtype: str, quantization: str | None, said: bool
) -> None:
    monkeypatch.setattr(processor, "lacks_bfloat16", lambda: lacks)
    lines: list[str] = []
    monkeypatch.setattr(serving.logger, "warning", lambda line, *_: lines.append(line))
    configuration = SimpleNamespace(dtype=dtype, quantization=quantization)
    serving._say_if_slow(SimpleNamespace(model_config=configuration))
    assert any("--dtype float32" in line for line in lines) is said
