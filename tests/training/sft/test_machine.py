"""Free memory: the system's, and what control groups of either version leave of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.sft.machine import find_machine, free_memory

GIB = 2**30


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def system(tmp_path) -> tuple[Path, Path]:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    write(proc / "meminfo", f"MemTotal: {64 * 2**20} kB\nMemAvailable: {32 * 2**20} kB")
    return proc, cgroups


def test_without_groups_it_is_what_the_system_has(system) -> None:
    assert free_memory(*system) == 32 * GIB


def test_a_group_of_version_2_is_a_limit(system) -> None:
    proc, cgroups = system
    write(proc / "self" / "cgroup", "0::/jobs/one")
    write(cgroups / "jobs" / "one" / "memory.max", 8 * GIB)
    write(cgroups / "jobs" / "one" / "memory.current", 3 * GIB)
    write(cgroups / "jobs" / "one" / "memory.stat", f"anon {GIB}\ninactive_file {GIB}")
    assert free_memory(proc, cgroups) == 6 * GIB  # what files fill can be given back


def test_a_group_around_it_is_a_limit_too(system) -> None:
    proc, cgroups = system
    write(proc / "self" / "cgroup", "0::/jobs/one")
    write(cgroups / "jobs" / "one" / "memory.max", "max")
    write(cgroups / "jobs" / "memory.max", 4 * GIB)
    write(cgroups / "jobs" / "memory.current", GIB)
    assert free_memory(proc, cgroups) == 3 * GIB


def test_in_a_container_the_group_is_at_the_root(system) -> None:
    proc, cgroups = system
    write(proc / "self" / "cgroup", "0::/host/path/of/this")
    write(cgroups / "memory.max", 2 * GIB)
    write(cgroups / "memory.current", GIB)
    assert free_memory(proc, cgroups) == GIB


def test_a_group_of_version_1_is_a_limit(system) -> None:
    proc, cgroups = system
    write(proc / "self" / "cgroup", "5:cpu,cpuacct:/one\n4:memory:/one")
    write(cgroups / "memory" / "one" / "memory.limit_in_bytes", 5 * GIB)
    write(cgroups / "memory" / "one" / "memory.usage_in_bytes", GIB)
    write(cgroups / "memory" / "memory.limit_in_bytes", 2**63 - 4096)
    assert free_memory(proc, cgroups) == 4 * GIB


def test_a_limit_that_is_passed_leaves_nothing(system) -> None:
    proc, cgroups = system
    write(proc / "self" / "cgroup", "0::/")
    write(cgroups / "memory.max", GIB)
    write(cgroups / "memory.current", 2 * GIB)
    assert free_memory(proc, cgroups) == 0


def test_a_system_that_says_nothing_has_no_figure(tmp_path) -> None:
    assert free_memory(tmp_path, tmp_path) is None


def test_this_machine_is_found() -> None:
    machine = find_machine()
    assert machine.device in ("cpu", "cuda")
    assert machine.devices >= 1
    assert machine.free is None or machine.free > 0
