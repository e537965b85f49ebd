"""Writes the sizing tables of `docs/operations.md`, from models' shapes and devices' data sheets.

Nothing here was measured: the figures are bounds that no implementation passes, computed with
`loadtests.needed`, so that they follow when a formula does. Between the two marks of the page
stands what this prints.

    .venv/bin/python -m scripts.sizing [--check]

Exit codes: 0 done, or up to date; 1 with `--check`: the page differs from what this would write.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.needed import Shape, generated, operations, shared_reads
from service.generated import run

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "operations.md"
BEGIN = "<!-- scripts/sizing.py writes from here -->"
END = "<!-- to here -->"

# Of the models' config.json: SmolLM2-135M, Llama 2 7B and 13B, Vicuna 33B.
MODELS: Mapping[str, Shape] = {
    "embedded, 135M": Shape(30, 576, 1536, 9, 3, 64, 49152),
    "MentaLLaMA 7B": Shape(32, 4096, 11008, 32, 32, 128, 32000),
    "MentaLLaMA 13B": Shape(40, 5120, 13824, 40, 40, 128, 32000),
    "MentaLLaMA 33B": Shape(60, 6656, 17920, 52, 52, 128, 32000),
}


@dataclass(frozen=True)
class Device:
    """A GPU by its data sheet.

    Attributes:
        name: its name.
        operations: dense bf16 operations a second.
        bandwidth: bytes of memory a second.
        memory: bytes.
    """

    name: str
    operations: float
    bandwidth: float
    memory: float


DEVICES = (
    Device("L4", 121e12, 300e9, 24e9),
    Device("A100 80 GB", 312e12, 2.04e12, 80e9),
    Device("H100 SXM", 989e12, 3.35e12, 80e9),
)

USED = 0.9
"""Share of a GPU's memory that vLLM takes (`--gpu-memory-utilization`)."""

OVERHEAD = 2e9
"""Bytes kept for activations, the CUDA context and captured graphs: an assumption, not a figure."""

POST, TAIL, QUESTIONS, EXPLANATION = 200, 30, 15, 100
"""Tokens of a post and of a question, questions a post, tokens of an explanation."""


def weight_bytes(shape: Shape) -> float:
    """Bytes of a model's weights as served: bf16, the output layer in float32."""
    embedding = shape.head_weights * shape.bytes_per_weight
    head = shape.head_weights * shape.bytes_per_head_weight
    return float(shape.layer_weights * shape.bytes_per_weight + embedding + head)


def gpus_needed(shape: Shape, device: Device) -> int:
    """The fewest GPUs, a power of two, that hold the weights and cache for 64 explanations."""
    cache = 64 * (POST + TAIL + EXPLANATION) * shape.cache_bytes
    gpus = 1
    while weight_bytes(shape) + cache > gpus * (USED * device.memory - OVERHEAD):
        gpus *= 2
    return gpus


def cached_tokens(shape: Shape, device: Device, gpus: int) -> float:
    """Tokens whose keys and values the GPUs hold beside the weights."""
    free = gpus * (USED * device.memory - OVERHEAD) - weight_bytes(shape)
    return free / shape.cache_bytes


def labels_a_second(shape: Shape, device: Device, gpus: int) -> float:
    """Most posts a second with all questions read and nothing explained: bound by operations."""
    return gpus * device.operations / operations(shape, shared_reads(POST, [TAIL] * QUESTIONS))


def explained_a_second(shape: Shape, device: Device, gpus: int) -> float:
    """Most posts a second with every answer explained.

    A step makes a token for each of the B explanations that the cache holds at once, and reads
    every weight once and B caches: B steps' tokens in max(operations, bytes) seconds. To that come
    the reads' own operations.
    """
    context = POST + TAIL + EXPLANATION // 2
    batch = min(cached_tokens(shape, device, gpus) // (context + EXPLANATION // 2), 256 * gpus)
    tokens = operations(shape, generated(context, 1)) * batch
    moved = weight_bytes(shape) - shape.head_weights * shape.bytes_per_weight
    moved += batch * context * shape.cache_bytes
    step = max(tokens / (gpus * device.operations), moved / (gpus * device.bandwidth))
    seconds = QUESTIONS * EXPLANATION * step / batch + 1 / labels_a_second(shape, device, gpus)
    return 1 / seconds


def tables() -> str:
    """The two tables, in Markdown."""
    lines = [
        "| model | weights, GB | KV cache a token, KiB | "
        + " | ".join(f"GPUs, {device.name}" for device in DEVICES)
        + " |",
        "| --- | ---: | ---: |" + " ---: |" * len(DEVICES),
    ]
    for name, shape in MODELS.items():
        gpus = [str(gpus_needed(shape, device)) for device in DEVICES]
        lines.append(
            f"| {name} | {weight_bytes(shape) / 1e9:.1f} | {shape.cache_bytes / 1024:.1f} | "
            + " | ".join(gpus)
            + " |"
        )
    lines += [
        "",
        "| model | GPU | tokens cached | posts/s, labels | posts/s, explained |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name, shape in MODELS.items():
        for device in DEVICES:
            gpus_ = gpus_needed(shape, device)
            lines.append(
                f"| {name} | {gpus_} x {device.name} "
                f"| {_short(cached_tokens(shape, device, gpus_))} "
                f"| {_short(labels_a_second(shape, device, gpus_))} "
                f"| {_short(explained_a_second(shape, device, gpus_))} |"
            )
    return "\n".join(lines)


def _short(value: float) -> str:
    """Two significant digits: no bound deserves more."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


def render() -> str:
    """The page with the tables as they should stand in it."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables into the page, or compare them; returns the exit code."""
    return run(
        render,
        PAGE,
        what="the sizing tables",
        remedy="python -m scripts.sizing",
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
