"""Writes `requirements/cpu-runtime.txt`: of the CPU lock, what serving needs and no more.

The lock holds what training, tests and checks need too; an image should not. The packages are
found from what the installed distributions declare, beginning with the project's base dependencies
and its extra `cpu`, so this runs in an environment that holds the lock, and after every change of
it.

    .venv/bin/python -m scripts.runtime_lock [--check]

Exit codes: 0 done, or up to date; 1 with `--check`: the file differs from what this would write.
"""

import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.lock import UNUSED_BY_US, UNUSED_BY_VLLM
from service import generated

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "cpu.txt"
RUNTIME = ROOT / "requirements" / "cpu-runtime.txt"

_HEADER = """\
# What serving on CPUs needs, of requirements/cpu.txt; the image is made of it.
# Written by scripts/runtime_lock.py; do not edit.
"""


def runtime_pins() -> list[str]:
    """The lines of the lock that serving needs, in the lock's order.

    Raises:
        KeyError: something is needed that the lock does not hold.
    """
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    locked = {canonicalize_name(Requirement(line).name): line for line in lines if line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    waiting = [Requirement(text) for text in texts]
    seen: set[str] = set()
    reached: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = f"{name}{sorted(requirement.extras)}"
        if name in (*UNUSED_BY_US, *UNUSED_BY_VLLM) or key in seen:
            continue
        seen.add(key)
        if name not in locked:
            raise KeyError(f"{requirement} is needed and not locked")
        reached.add(name)
        waiting += _needs(requirement)
    return [line for name, line in locked.items() if name in reached]


def _needs(requirement: Requirement) -> Iterator[Requirement]:
    try:
        texts = metadata.requires(requirement.name) or []
    except metadata.PackageNotFoundError:  # locked for another kind of machine
        return
    for text in texts:
        need = Requirement(text)
        contexts = [{"extra": extra} for extra in (requirement.extras or {""})]
        if need.marker is None or any(need.marker.evaluate(context) for context in contexts):
            yield need


def render() -> str:
    """The content of the file."""
    return _HEADER + "\n".join(runtime_pins()) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, or compare it; returns the exit code."""
    return generated.run(
        render,
        RUNTIME,
        what="the lock of what serving on CPUs needs",
        remedy="python -m scripts.runtime_lock",
        arguments=arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
