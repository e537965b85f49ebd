"""Prints the pins of a lock that the project needs to serve and this environment lacks.

    python deploy/docker/missing.py requirements/gpu.txt

What is installed stays as it is, whatever its version: on vLLM's image that is what vLLM was built
and tested with. Two of the needs are not followed: see `scripts/lock.py`.
"""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def missing(lock: Path) -> list[str]:
    """The lines of the lock to install."""
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    pins = {canonicalize_name(Requirement(line).name): line for line in lines if line}
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"][lock.stem]]
    names = [canonicalize_name(Requirement(text).name) for text in texts]
    installed = {
        canonicalize_name(distribution.metadata["Name"])
        for distribution in metadata.distributions()
    }
    return [pins[name] for name in names if name not in installed]


if __name__ == "__main__":
    sys.stdout.writelines(f"{pin}\n" for pin in missing(Path(sys.argv[1])))
