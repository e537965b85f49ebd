"""The sampled token's rank on CPUs without a compiler.

vLLM has `torch.compile` make a kernel that counts the tokens at least as probable as the sampled
one. On a CPU that is C++ that a start waits for, two seconds and more, and a request after it that
brings another shape; without a compiler no log-probability could be read at all. NumPy counts as
fast as that kernel does.
"""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Put the count in the place of vLLM's on CPUs; does nothing elsewhere."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.v1.sample import sampler

    sampler.batched_count_greater_than = count_at_least


def count_at_least(logprobs: Any, values: Any) -> Any:
    """How many of each row's entries are at least as large as the row's value.

    Args:
        logprobs: tensor of shape (rows, vocabulary).
        values: tensor of shape (rows, 1).

    Returns:
        Tensor of int64 of shape (rows,).
    """
    import numpy as np
    import torch

    found = (logprobs >= values).numpy()
    # Row by row: NumPy counts the whole of a boolean array 20 times as fast as along an axis.
    return torch.tensor([np.count_nonzero(row) for row in found], dtype=torch.int64)
