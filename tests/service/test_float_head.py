"""The head that keeps its float32 weights gives vLLM's numbers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")


@pytest.fixture
def heads():
    """The layer of vLLM and ours, as far as the product of the head goes, and a small bf16 head."""
    from vllm.model_executor.layers.logits_processor import LogitsProcessor
    from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod

    from service.float_head import _layer

    def bare(kind):
        layer = object.__new__(kind)
        torch.nn.Module.__init__(layer)
        layer.head_dtype = torch.float32
        return layer

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, 16, generator=generator).bfloat16()
    head = SimpleNamespace(weight=weight, quant_method=UnquantizedEmbeddingMethod())
    hidden = torch.randn(3, 16, generator=generator).bfloat16()
    return bare(LogitsProcessor), bare(_layer()), head, hidden


def test_logits_are_vllms_to_the_bit(heads) -> None:
    theirs, ours, head, hidden = heads
    expected = theirs._apply_head(head, hidden, None)
    assert expected.dtype == torch.float32
    for _ in range(2):
        assert torch.equal(ours._apply_head(head, hidden, None), expected)
    bias = torch.ones(50).bfloat16()
    assert torch.equal(ours._apply_head(head, hidden, bias), theirs._apply_head(head, hidden, bias))


def test_weights_are_cast_once_and_again_after_a_change(heads) -> None:
    _, ours, head, hidden = heads
    before = ours._apply_head(head, hidden, None)
    kept = ours._kept[1]
    ours._apply_head(head, hidden, None)
    assert ours._kept[1] is kept
    head.weight.mul_(2)
    assert torch.equal(ours._apply_head(head, hidden, None), before * 2)


def test_a_quantized_head_is_left_to_vllm(heads) -> None:
    _, ours, head, hidden = heads
    head.quant_method = object()
    with pytest.raises(ValueError, match="unquantized"):
        ours._apply_head(head, hidden, None)
    assert ours._kept is None
