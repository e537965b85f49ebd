"""What a run can use on this machine: its device, that device's free memory, its processes.

`find_machine` looks once; the memory estimate is held against the answer before anything is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_UNLIMITED = 2**60
"""Version 1 of cgroups says a number near 2^63 where there is no limit."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run would happen.

    Attributes:
        device: what computes.
        name: what the device calls itself.
        devices: how many there are; processes on a CPU share one.
        free: free bytes of the fullest device, or of the main memory; None if that is not known.
    """

    device: Literal["cpu", "cuda"]
    name: str
    devices: int
    free: int | None


def find_machine() -> Machine:
    """Look at the GPUs, or at the main memory where there are none."""
    import torch

    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        free = min(torch.cuda.mem_get_info(index)[0] for index in range(count))
        return Machine("cuda", torch.cuda.get_device_name(0), count, free)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine("cpu", f"CPU with {cores} cores", 1, free_memory())


def free_memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Bytes that this process could still take: what the system has, and its control group allows.

    Args:
        proc: where the kernel's process information is mounted.
        cgroups: where control groups are mounted, of either version.

    Returns:
        The least of all limits, or None where the system tells of none.
    """
    limits = [_available(proc), *_group_rooms(proc, cgroups)]
    return min((limit for limit in limits if limit is not None), default=None)


def _available(proc: Path) -> int | None:
    try:
        lines = (proc / "meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    fields = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
    kibibytes = fields.get("MemAvailable", "").split()
    return int(kibibytes[0]) * 1024 if kibibytes else None


def _group_rooms(proc: Path, cgroups: Path) -> list[int]:
    """Room in this process's control group and in every group around it."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    rooms = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, used, cache = cgroups, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, cache = cgroups / "memory", "total_inactive_file"
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # In a container the path is the host's, and the group itself is mounted at the root.
        group = root / path.strip("/")
        for folder in {group, *(parent for parent in group.parents if parent >= root), root}:
            most = _number(folder / limit)
            if most is None or most >= _UNLIMITED:
                continue
            taken = _number(folder / used) or 0
            reclaimable = _statistics(folder / "memory.stat").get(cache, 0)
            rooms.append(max(0, most - taken + reclaimable))
    return rooms


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # "max" is no limit
        return None


def _statistics(path: Path) -> Mapping[str, int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}
    except (OSError, ValueError):
        return {}
