"""Operations and bytes that a piece of work cannot do without, counted from the model's shape.

Counted are the matrix products of a decoder of Llama's architecture (query, key, value, output,
gate, up, down), attention over the tokens before, and the output layer where a token is read or
generated; two operations for a multiplication with its addition, as is usual (Kaplan et al., 2020,
arXiv 2001.08361, appendix B). Norms, rotations and softmax are left out: they are below a percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's shape.

    Attributes:
        layers: how many.
        hidden: width of a token's state.
        inner: width of the feed-forward part.
        heads: of attention.
        kv_heads: of keys and values.
        head: width of a head.
        vocabulary: tokens that there are.
        bytes_per_weight: as loaded.
        bytes_per_head_weight: of the output layer, as loaded.
        bytes_per_cached: of a number among the keys and values.
    """

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    bytes_per_weight: int = 2
    bytes_per_head_weight: int = 4
    bytes_per_cached: int = 2

    @classmethod
    def of(cls, config: Mapping[str, Any], **bytes_per: int) -> Shape:
        """From a model's `config.json`, and the fields that say how many bytes a number takes."""
        heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
        return cls(
            layers=int(config["num_hidden_layers"]),
            hidden=hidden,
            inner=int(config["intermediate_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head=int(config.get("head_dim") or hidden // heads),
            vocabulary=int(config["vocab_size"]),
            **bytes_per,
        )

    @property
    def layer_weights(self) -> int:
        """Weights in the matrices of all layers."""
        attention = self.hidden * self.head * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def head_weights(self) -> int:
        """Weights of the output layer."""
        return self.hidden * self.vocabulary

    @property
    def cache_bytes(self) -> int:
        """Bytes that the keys and values of one token take."""
        return 2 * self.layers * self.kv_heads * self.head * self.bytes_per_cached


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens that are computed one after the other.

    Attributes:
        before: tokens that stand before and are computed already.
        tokens: how many are computed.
        read: on how many of them the output layer is needed.
    """

    before: int
    tokens: int
    read: int = 1


def operations(shape: Shape, spans: Sequence[Span]) -> float:
    """Floating-point operations of the spans."""
    total = 0.0
    for span in spans:
        total += 2.0 * shape.layer_weights * span.tokens
        seen = span.tokens * span.before + span.tokens * (span.tokens + 1) / 2
        total += 4.0 * shape.layers * shape.heads * shape.head * seen
        total += 2.0 * shape.head_weights * span.read
    return total


def decoding_bytes(shape: Shape, context: int) -> float:
    """Bytes that one step of one stream must read: every weight once, and the cache.

    The head's weights too are read as they are stored: what is generated needs no others.
    """
    weights = shape.layer_weights * shape.bytes_per_weight
    head = shape.head_weights * shape.bytes_per_weight
    return float(weights + head + context * shape.cache_bytes)


def shared_reads(post: int, tails: Sequence[int]) -> list[Span]:
    """Label reads on one post that is computed once: the post, then each question's tail."""
    return [Span(0, post, read=0), *(Span(post, tail) for tail in tails)]


def generated(before: int, tokens: int) -> list[Span]:
    """A text that is generated token by token."""
    return [Span(before, tokens, read=tokens)]
