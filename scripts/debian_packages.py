"""Installs the Debian packages that some tests need, where that can be done without asking.

`make test` runs it first. On Debian and its kin, as root or with a sudo that asks for no password,
it installs what is missing; elsewhere it says what is missing and goes on, and the tests that need
it are skipped and say so. Where all is there it does nothing and says nothing.

    python3 scripts/debian_packages.py

Exit code: 0, whatever was found; a test that cannot run says so itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

# Each with a program of it, by which it is found.
PACKAGES: Mapping[str, str] = {
    "chromium": "chromium",
    "haproxy": "haproxy",
    "prometheus": "promtool",
    "redis-server": "redis-server",
    "shellcheck": "shellcheck",
}

# Debian keeps servers where only root's PATH looks.
_ELSEWHERE = "/usr/sbin:/sbin"
# Another apt may hold the lock for as long.
_LOCK_SECONDS = 120


def missing(packages: Mapping[str, str] = PACKAGES) -> list[str]:
    """Packages whose program is not there."""
    path = f"{os.environ.get('PATH', os.defpath)}:{_ELSEWHERE}"
    return [
        package for package, program in packages.items() if not shutil.which(program, path=path)
    ]


def as_root() -> list[str] | None:
    """What to put before a command to run it as root; None where that cannot be done."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode:
        return None
    return [sudo, "-n"] if sudo else None


def install(packages: Sequence[str], root: Sequence[str]) -> str | None:
    """Install packages; the lists of what there is are renewed only where that is needed.

    Returns:
        What went wrong, or None.
    """
    wanted = ("install", "-y", "--no-install-recommends", *packages)
    done = _apt(root, *wanted)
    if done.returncode:
        _apt(root, "update")
        done = _apt(root, *wanted)
    if not done.returncode:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"apt-get ended with {done.returncode}"


def _apt(root: Sequence[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    # With run level 1, a server that is here for tests alone is not started as a service.
    command = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-qq"]
    command += ["-o", f"DPkg::Lock::Timeout={_LOCK_SECONDS}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main() -> int:
    """Install what is missing, or say so."""
    wanted = missing()
    if not wanted:
        return 0
    names = " ".join(wanted)
    if not shutil.which("apt-get"):
        print(f"Not on Debian: the tests that need {names} will be skipped.", file=sys.stderr)
        return 0
    root = as_root()
    if root is None:
        print(
            f"The tests that need {names} will be skipped. To run them: apt-get install {names}",
            file=sys.stderr,
        )
        return 0
    print(f"Installing {names} for the tests …", file=sys.stderr)
    if fault := install(wanted, root):
        print(f"Could not install {names}, so tests will be skipped: {fault}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
