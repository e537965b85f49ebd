"""What this machine can do at most, measured by PyTorch: matrix products and memory.

A share of the limit needs a limit that was reached, not one from a data sheet: the best of several
large matrix products, and the best of several passes over memory far larger than any cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service import processor

if TYPE_CHECKING:
    import torch

_SIZES, _BYTES = (1024, 2048), 2**29
_SMALL = (512,)
# Where a product of that size takes microseconds, its start counts for as much as itself.
_GPU_SIZES, _GPU_BYTES = (4096, 8192), 2**30
_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What was reached.

    Attributes:
        bf16: floating-point operations a second of matrix products in bfloat16.
        float32: likewise in float32.
        reading: bytes a second that a product of a matrix and a vector, or a sum, reads: what
            bounds the decoding of one stream.
        device: where.
    """

    bf16: float
    float32: float
    reading: float
    device: str

    @property
    def products(self) -> float:
        """Operations a second in the faster type: float32 where bfloat16 has no instructions."""
        return max(self.bf16, self.float32)


def measure_ceilings() -> Ceilings:
    """Measure for about ten seconds; nothing else should run meanwhile."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Without instructions for bfloat16, one product of the large ones takes half a minute.
    slow = device == "cpu" and processor.lacks_bfloat16()
    sizes = _GPU_SIZES if device == "cuda" else _SIZES
    found = Ceilings(
        bf16=max(_product(size, torch.bfloat16, device) for size in (_SMALL if slow else sizes)),
        float32=max(_product(size, torch.float32, device) for size in sizes),
        reading=_read(device),
        device=torch.cuda.get_device_name(0) if device == "cuda" else "cpu",
    )
    if device == "cuda":
        torch.cuda.empty_cache()  # servers count what is free when they start
    return found


def _product(size: int, dtype: torch.dtype, device: str) -> float:
    import torch

    left = torch.randn(size, size, device=device).to(dtype)
    right = torch.randn(size, size, device=device).to(dtype)
    out = torch.empty_like(left)
    return 2.0 * size**3 / _best(lambda: torch.mm(left, right, out=out), device)


def _read(device: str) -> float:
    import torch

    total, width = _GPU_BYTES if device == "cuda" else _BYTES, 4096
    best = 0.0
    # PyTorch's product is not the fastest there is in every type; a sum does nothing but read.
    for dtype, size in ((torch.bfloat16, 2), (torch.float32, 4)):
        matrix = torch.ones(total // (size * width), width, dtype=dtype, device=device)
        vector = torch.ones(width, dtype=dtype, device=device)
        for work in (lambda m=matrix, v=vector: torch.mv(m, v), matrix.sum):
            best = max(best, total / _best(work, device))
    return best


def _best(work: Callable[[], object], device: str) -> float:
    """The shortest of all times that fit into the time that is there, in seconds."""
    import torch

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    work()
    wait()
    shortest, until = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < until:
        begun = time.perf_counter()
        work()
        wait()
        shortest = min(shortest, time.perf_counter() - begun)
    return shortest
