"""Grouped attention against PyTorch's own, forwards and backwards."""

from __future__ import annotations

import pytest

from tests.lazy import torch
from training.sft.attention import NAME, grouped_attention, register

ROWS, TOKENS, WIDTH = 2, 13, 8


def tensors(heads: int, groups: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    shapes = [(ROWS, count, TOKENS, WIDTH) for count in (heads, groups, groups)]
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


def mask() -> torch.Tensor:
    """Random, but for each token seeing itself."""
    torch.manual_seed(1)
    seen = torch.rand(ROWS, 1, TOKENS, TOKENS) < 0.5
    return seen.tril() | torch.eye(TOKENS, dtype=torch.bool)


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (4, 1)])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("scaling", [None, 0.7])
def test_it_is_scaled_dot_product_attention(heads, groups, masked, scaling) -> None:
    own, theirs = tensors(heads, groups), tensors(heads, groups)
    seen = mask() if masked else None
    module = torch.nn.Module()
    out, weights = grouped_attention(module, *own, seen, scaling)
    expected = torch.nn.functional.scaled_dot_product_attention(
        *theirs, attn_mask=seen, is_causal=not masked, scale=scaling, enable_gqa=True
    ).transpose(1, 2)
    assert weights is None
    assert out.is_contiguous()
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    out.square().sum().backward()
    expected.square().sum().backward()
    for mine, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-4, rtol=1e-4)


def test_fewer_queries_than_keys_are_the_last_ones() -> None:
    query, key, value = tensors(4, 2)
    module = torch.nn.Module()
    whole, _ = grouped_attention(module, query, key, value, None)
    last, _ = grouped_attention(module, query[:, :, -3:], key, value, None)
    torch.testing.assert_close(last, whole[:, -3:])


def test_it_runs_in_the_number_format_of_the_values() -> None:
    query, key, value = tensors(4, 2)
    out, _ = grouped_attention(torch.nn.Module(), query, key, value.bfloat16(), None)
    assert out.dtype is torch.bfloat16
    exact, _ = grouped_attention(torch.nn.Module(), query, key, value, None)
    torch.testing.assert_close(out.float(), exact, atol=0.05, rtol=0.05)


def test_weights_are_dropped_in_training_alone() -> None:
    given = tensors(4, 2)
    module = torch.nn.Module()
    exact, _ = grouped_attention(module, *given, None)
    dropped, _ = grouped_attention(module, *given, None, dropout=0.5)
    assert not torch.allclose(dropped, exact)
    kept, _ = grouped_attention(module.eval(), *given, None, dropout=0.5)
    torch.testing.assert_close(kept, exact)


def test_transformers_knows_it_after_it_is_registered() -> None:
    from transformers import AttentionInterface

    register()
    register()
    assert AttentionInterface()[NAME] is grouped_attention
