"""What Linux tells of the processor."""

from __future__ import annotations

import contextlib
from pathlib import Path


def facts() -> list[str]:
    """Lines of `/proc/cpuinfo`, each `name : value` and for each core; none elsewhere."""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        return text.splitlines()
    return []


def names() -> list[str]:
    """What the processor is called, once for each core; none where it is not told, as on ARM."""
    return [line.partition(":")[2].strip() for line in facts() if line.startswith("model name")]


def flags() -> frozenset[str]:
    """What the processor can do, as Linux calls it on x86; none where it is not told."""
    lines = (line for line in facts() if line.startswith("flags"))
    return frozenset(next(lines, "").partition(":")[2].split())


def lacks_bfloat16() -> bool:
    """Whether this is an x86 processor that has no products of bfloat16.

    AVX-512 has them since Cooper Lake and Zen 4; AVX2 alone does not.
    """
    known = flags()
    return bool(known) and known.isdisjoint(("avx512_bf16", "amx_bf16"))


def prefers_float32() -> bool:
    """Whether large products are faster in float32 than in bfloat16.

    They are where there are none in bfloat16, and on Intel's processors without AMX: 339 against
    175 GFLOP/s, measured with AVX-512 on one whose AMX a hypervisor hides. AMD's AVX-512 is faster
    in bfloat16.
    """
    intel = any(
        line.startswith("vendor_id") and line.partition(":")[2].strip() == "GenuineIntel"
        for line in facts()
    )
    return lacks_bfloat16() or (intel and "amx_bf16" not in flags())
