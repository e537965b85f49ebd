"""The head that keeps its float32 weights gives vLLM's numbers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.lazy import torch

pytestmark = pytest.mark.xdist_group("vllm")


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
    head = SimpleNamespace(
        weight=weight,
        quant_method=UnquantizedEmbeddingMethod(),
        cpu_linear=torch.nn.functional.linear,
    )
    hidden = torch.randn(3, 16, generator=generator).bfloat16()
    return bare(LogitsProcessor), bare(_layer()), head, hidden


def close(found, expected) -> bool:
    """Whether they differ by no more than float32 sums in another order do."""
    return found.dtype == torch.float32 and torch.allclose(found, expected, rtol=1e-6, atol=1e-5)


def test_logits_are_vllms(heads) -> None:
    theirs, ours, head, hidden = heads
    expected = theirs._apply_head(head, hidden, None)
    for _ in range(2):
        assert close(ours._apply_head(head, hidden, None), expected)
    bias = torch.ones(50).bfloat16()
    assert close(ours._apply_head(head, hidden, bias), theirs._apply_head(head, hidden, bias))
    # What a head in bfloat16 gives is another thing.
    assert not close(torch.nn.functional.linear(hidden, head.weight).float(), expected)


def test_products_of_others_keep_their_precision(heads) -> None:
    _, ours, head, hidden = heads
    ours._apply_head(head, hidden, None)
    assert torch.backends.mkldnn.matmul.fp32_precision in ("none", "ieee")


def test_states_in_float32_are_not_rounded(heads) -> None:
    _, ours, head, _ = heads
    states = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.linear(states, head.weight.float())
    assert torch.equal(ours._apply_head(head, states, None), expected)


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
