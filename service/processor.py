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
