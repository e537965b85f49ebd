"""What work needs, against counts by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtests.needed import (
    Shape,
    Span,
    decoding_bytes,
    generated,
    operations,
    shared_reads,
)

SMALL = Shape(layers=2, hidden=8, inner=16, heads=2, kv_heads=1, head=4, vocabulary=10)


def test_weights() -> None:
    # A layer: query 8x8, key and value 8x4 each, output 8x8, and three of 8x16.
    assert SMALL.layer_weights == 2 * (64 + 32 + 32 + 64 + 3 * 128)
    assert SMALL.head_weights == 80
    assert SMALL.cache_bytes == 2 * 2 * 1 * 4 * 2
    assert replace(SMALL, bytes_per_cached=4).cache_bytes == 2 * 2 * 1 * 4 * 4


def test_the_embedded_models_weights_are_as_many_as_it_has() -> None:
    config = {
        "num_hidden_layers": 30,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
    }
    shape = Shape.of(config)
    norms = 61 * 576
    assert shape.layer_weights + shape.head_weights + norms == 134_515_008


def test_operations_of_one_token() -> None:
    found = operations(SMALL, [Span(before=3, tokens=1)])
    assert found == 2 * SMALL.layer_weights + 4 * 2 * 2 * 4 * 4 + 2 * 80


def test_a_text_in_parts_is_a_text() -> None:
    whole = operations(SMALL, [Span(0, 7, read=1)])
    parts = operations(SMALL, [Span(0, 3, read=0), Span(3, 4, read=1)])
    assert whole == pytest.approx(parts)
    assert operations(SMALL, generated(0, 5)) == pytest.approx(
        sum(operations(SMALL, [Span(before, 1)]) for before in range(5))
    )


def test_sharing_a_post_saves_the_post() -> None:
    shared = operations(SMALL, shared_reads(100, [5] * 15))
    single = operations(SMALL, [Span(0, 105)] * 15)
    assert single / shared == pytest.approx(15 * 105 / (100 + 75), rel=0.25)


def test_decoding_reads_every_weight() -> None:
    assert decoding_bytes(SMALL, 0) == (SMALL.layer_weights + 80) * 2
    assert decoding_bytes(SMALL, 10) - decoding_bytes(SMALL, 0) == 10 * SMALL.cache_bytes
