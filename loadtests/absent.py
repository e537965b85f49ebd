"""What a rival lacks on this machine: told in the results, never skipped in silence."""

from __future__ import annotations

from importlib.util import find_spec

EXTRA_COMMAND = ".venv/bin/pip install --no-deps -r requirements/bench.txt"
"""Installs the rivals that no other part of the project needs."""


class AbsentError(Exception):
    """A rival that cannot be measured here; the message says why, and what to install."""


def need(*modules: str) -> None:
    """Make sure that modules are installed, without importing them.

    Raises:
        AbsentError: one is not.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise AbsentError(f"{', '.join(missing)} not installed; run `{EXTRA_COMMAND}`")
