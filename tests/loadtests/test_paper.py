"""The estimate on paper, against figures by hand."""

from __future__ import annotations

import pytest

from loadtests.needed import shared_reads, single_reads
from loadtests.paper import H100, LLAMA_2_7B, capacity, decode, estimate, labels


def test_the_shape_has_seven_billion_weights() -> None:
    both = LLAMA_2_7B.layer_weights + 2 * LLAMA_2_7B.head_weights  # embeddings are as many
    assert both == pytest.approx(6.738e9, rel=0.001)


def test_one_stream_is_bound_by_the_weights_bytes() -> None:
    seconds, bound = decode(LLAMA_2_7B, H100, 1, 0)
    # 6.476e9 weights of 2 bytes and a head of 0.131e9 of 4, at 3.35 TB/s.
    assert seconds == pytest.approx((6.476e9 * 2 + 0.131e9 * 4) / 3.35e12, rel=0.001)
    assert bound == "bytes"


def test_many_streams_share_the_weights() -> None:
    one, many = (decode(LLAMA_2_7B, H100, batch, 300)[0] for batch in (1, 64))
    assert many < 3 * one


def test_labels_are_bound_by_operations() -> None:
    seconds = labels(LLAMA_2_7B, H100, single_reads(300, [20]))
    assert seconds == pytest.approx(2 * 6.476e9 * 320 / 989.4e12, rel=0.02)
    shared = labels(LLAMA_2_7B, H100, shared_reads(300, [20] * 15))
    unshared = labels(LLAMA_2_7B, H100, single_reads(300, [20] * 15))
    assert unshared / shared == pytest.approx(15 * 320 / 600, rel=0.05)


def test_what_does_not_fit_is_not_estimated() -> None:
    found = estimate(lambda text: len(text.split()))
    batches = [rows[0]["batch"] for way, rows in found.rows.items() if way.startswith("decode")]
    rates = [rows[0]["tokens_per_second"] for way, rows in found.rows.items() if "decode" in way]
    assert rates == sorted(rates)
    assert max(batches) * 220 < capacity(LLAMA_2_7B, H100)
    assert {"labels, 150 tokens", "labels, 300 tokens", "labels, 900 tokens"} <= found.rows.keys()
