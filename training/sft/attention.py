"""Attention for training on CPUs: plain matrix products, by groups of query heads.

PyTorch's fused attention on CPUs takes as long as all the rest of a small model together. Two
batched products and a softmax in bfloat16 are faster there, above all where several query heads
share a key head and are multiplied with it at once. The scores are kept for the backward pass:
rows * heads * tokens^2 * 2 bytes a layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NAME = "grouped"
"""What transformers knows it by, as `attn_implementation`."""


def register() -> None:
    """Make the implementation known to transformers; doing so twice changes nothing."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, grouped_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention, with transformers' signature.

    Args:
        module: the attention layer; not used but for whether it trains.
        query: shape (rows, query heads, tokens, width).
        key: shape (rows, key heads, all tokens, width); as many query heads share each.
        value: as `key`.
        attention_mask: True where a token (third dimension) sees another (fourth), shape (rows, 1,
            tokens, all tokens); None for causal.
        scaling: factor on the scores; 1 over the root of the width if None.
        dropout: probability to drop a weight.

    Returns:
        Shape (rows, tokens, query heads, width), and None for the weights.
    """
    import torch

    rows, heads, tokens, width = query.shape
    groups, length = key.shape[1], key.shape[2]
    scaling = width**-0.5 if scaling is None else scaling
    if attention_mask is None:
        attention_mask = torch.ones(tokens, length, dtype=torch.bool, device=query.device).tril(
            length - tokens
        )[None, None]
    shape = (rows, groups, heads // groups, tokens, length)
    with torch.autocast(query.device.type, enabled=False):
        # Rotary embeddings leave queries and keys in float32 under autocast.
        query, key = query.to(value.dtype), key.to(value.dtype)
        together = (query * scaling).reshape(rows * groups, -1, width)
        scores = torch.bmm(together, key.reshape(rows * groups, length, width).transpose(1, 2))
        least = torch.finfo(scores.dtype).min
        scores = scores.view(shape).masked_fill(~attention_mask[:, None], least)
        weights = torch.softmax(scores, dim=-1)
        weights = torch.nn.functional.dropout(weights, dropout, module.training)
        mixed = torch.bmm(
            weights.view(rows * groups, -1, length), value.reshape(rows * groups, length, width)
        )
    return mixed.view(rows, heads, tokens, width).transpose(1, 2).contiguous(), None
