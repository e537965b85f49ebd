"""Prints the pins of a lock that the project needs to serve and this environment lacks.

    python deploy/docker/missing.py requirements/gpu.txt

What is installed stays as it is, whatever its version: on vLLM's image that is what vLLM was built
and tested with.
"""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def missing(lock: Path) -> list[str]:
    """The entries of the lock to install, each a pin and the lines of its hashes."""
    entries = re.findall(r"^[^\s#].*(?:\n\s+--hash.*)*", lock.read_text(encoding="utf-8"), re.M)
    pins = {canonicalize_name(re.split(r"[ =]", entry, maxsplit=1)[0]): entry for entry in entries}
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
