"""On paper: what Llama-2-7B could do on one H100, until somebody measures it there.

A step of the engine takes as long as the longer of its two needs:

    seconds = max(operations / matrix ceiling, bytes / memory bandwidth)

Operations and bytes are counted by `loadtests.needed`; a step reads every weight once, however many
requests share it, and each request's keys and values. The ceilings are those of NVIDIA's data sheet
(H100 SXM5: 989.4 TFLOP/s in dense bfloat16, 3.35 TB/s, 80 GB), not measured: real engines reach
half to two thirds of the first and 60 to 80% of the second. So every figure here is a bound from
above. The same measurement on such a machine has `limits` beside it and confirms or refutes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imhi.wording import query_tail
from loadtests.measured import Measured
from loadtests.measures import ALL
from loadtests.needed import Shape, Span, operations, shared_reads, single_reads
from loadtests.workload import Count

LLAMA_2_7B = Shape(
    layers=32, hidden=4096, inner=11008, heads=32, kv_heads=32, head=128, vocabulary=32000
)
"""Touvron et al., 2023 (arXiv 2307.09288), and its `config.json`; the head in float32, as here."""

POSTS = (150, 300, 900)
"""Tokens: about IMHI's median, twice that, and its 95th percentile."""

EXPLANATION = 140
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Device:
    """A device's ceilings by its data sheet: operations and bytes a second, bytes it holds."""

    name: str
    bf16: float
    memory: float
    capacity: float


H100 = Device("NVIDIA H100 SXM5", bf16=989.4e12, memory=3.35e12, capacity=80e9)


def estimate(count: Count) -> Measured:
    """Label reads by length of post, and decoding by batch, of Llama-2-7B on one H100.

    Args:
        count: of tokens, for the questions' tails; the embedded model's tokenizer stands in.
    """
    found = Measured("paper")
    shape, device = LLAMA_2_7B, H100
    tails = [count(query_tail(question)) for question in ALL]
    for post in POSTS:
        whole, alone, one = (
            labels(shape, device, spans)
            for spans in (
                shared_reads(post, tails),
                single_reads(post, tails),
                single_reads(post, tails[:1]),
            )
        )
        row = {
            "post_tokens": post,
            "posts_per_second": 1 / whole,
            "posts_per_second_unshared": 1 / alone,
            "questions_over_one": whole / one,
        }
        found.add(f"labels, {post} tokens", row)
    context = POSTS[0] + max(tails) + EXPLANATION // 2
    room = capacity(shape, device) // context
    for batch in (one for one in BATCHES if one <= room):
        seconds, bound = decode(shape, device, batch, context)
        step: dict[str, Any] = {
            "batch": batch,
            "step_milliseconds": 1000 * seconds,
            "tokens_per_second": batch / seconds,
            "explained_per_second": batch / seconds / EXPLANATION,
            "bound": bound,
        }
        found.add(f"decode, {batch}", step)
    return found


def labels(shape: Shape, device: Device, spans: Sequence[Span]) -> float:
    """Seconds a post of a full batch takes: its operations alone, the weights' bytes being shared.

    A batch is full from some 300 tokens on, where operations take as long as the weights' bytes.
    """
    return operations(shape, spans) / device.bf16


def decode(shape: Shape, device: Device, batch: int, context: int) -> tuple[float, str]:
    """Seconds of a step that gives each of `batch` requests a token, and what bounds it."""
    work = operations(shape, [Span(context, 1)] * batch) / device.bf16
    moved = _weights(shape) + batch * context * shape.cache_bytes
    reading = moved / device.memory
    return max(work, reading), "operations" if work > reading else "bytes"


def capacity(shape: Shape, device: Device) -> int:
    """Tokens whose keys and values fit beside the weights into nine tenths of the memory."""
    return int((0.9 * device.capacity - _weights(shape)) / shape.cache_bytes)


def _weights(shape: Shape) -> float:
    return float(
        shape.layer_weights * shape.bytes_per_weight
        + shape.head_weights * shape.bytes_per_head_weight
    )
