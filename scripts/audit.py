"""Asks pip-audit whether a locked package has a known vulnerability.

Both locks are looked at, each package at its locked version, whatever is installed. What is known
and has been judged stands in `requirements/audit-ignore.toml` with a reason and a date, after which
it counts again.

The answers come from the package index over the network. Where it does not give them (a mirror
without them, no network) nothing was audited: that is said in so many words, and it is a failure
with `--required`, which the hosted CI gives. It is none elsewhere: a developer's check should not
depend on a service that their network may not reach.

    .venv/bin/python -m scripts.audit [--required]

Exit codes: 0 nothing is known, or nothing could be asked; 1 a vulnerability, an ignored one whose
date has passed, or with `--required` a package that could not be asked about.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = (ROOT / "requirements" / "cpu.txt", ROOT / "requirements" / "gpu.txt")
IGNORED = ROOT / "requirements" / "audit-ignore.toml"

SECONDS = 10
# One that every index has; whether it is answered for says whether the service is there.
_PROBE = "pip==25.0"


@dataclass(frozen=True)
class Ignored:
    """A vulnerability that was looked at and does not matter here, for now.

    Attributes:
        id: as pip-audit names it.
        package: in which package.
        reason: why it does not matter.
        until: when it is to be looked at again.
    """

    id: str
    package: str
    reason: str
    until: datetime.date


def ignored(path: Path) -> list[Ignored]:
    """Read the list.

    Raises:
        ValueError: an entry lacks a field, or has no reason.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("ignore", [])
    try:
        read = [Ignored(**entry) for entry in entries]
    except TypeError as error:
        raise ValueError(f"{path.name}: {error}") from None
    for one in read:
        if len(one.reason.split()) < 3 or not isinstance(one.until, datetime.date):
            raise ValueError(f"{path.name}: {one.id} needs a reason in words and a date")
    return read


def pins(locks: Sequence[Path]) -> list[str]:
    """Every package and version of the locks once, without markers and local versions."""
    found = set()
    for lock in locks:
        for line in lock.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                # `+cpu` names a build; what is known is known of the version.
                found.add(re.sub(r"\+\w+$", "", line.split(" ;")[0].strip()))
    return sorted(found)


def ask(requirements: Sequence[str]) -> list[dict[str, Any]]:
    """What pip-audit says of each package; nothing where it got no answer at all."""
    answers: list[dict[str, Any]] = []
    # Two locks can hold two versions of a package, which one file of requirements cannot.
    remaining = list(requirements)
    while remaining:
        names: set[str] = set()
        batch = []
        for pin in remaining:
            name = pin.split("==")[0]
            if name not in names:
                names.add(name)
                batch.append(pin)
        remaining = [pin for pin in remaining if pin not in batch]
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write("\n".join(batch) + "\n")
            file.flush()
            program = str(Path(sys.executable).with_name("pip-audit"))
            options = ("--format=json", "--no-deps", "--disable-pip", "--progress-spinner=off")
            done = subprocess.run(
                [program, *options, f"--timeout={SECONDS}", "--requirement", file.name],
                capture_output=True,
                text=True,
                check=False,
            )
        if not done.stdout:
            return []
        answers += json.loads(done.stdout)["dependencies"]
    return answers


def judge(
    answers: Sequence[Mapping[str, Any]], known: Sequence[Ignored], today: datetime.date
) -> tuple[list[str], list[str]]:
    """What must be done, and which packages could not be asked about.

    Args:
        answers: what pip-audit says.
        known: the list of what is ignored.
        today: what dates are compared with.
    """
    problems = []
    by_id = {one.id: one for one in known}
    seen = set()
    for answer in answers:
        for found in answer.get("vulns", ()):
            names = {found["id"], *found.get("aliases", ())}
            match = next((by_id[name] for name in names if name in by_id), None)
            where = f"{answer['name']} {answer['version']}: {found['id']}"
            if match is None:
                fixed = ", ".join(found["fix_versions"]) or "no version yet"
                problems.append(f"{where}; fixed in {fixed}")
                continue
            seen.add(match.id)
            if match.until < today:
                problems.append(f"{where}; it was ignored until {match.until}: look at it again")
    skipped = [answer["name"] for answer in answers if "skip_reason" in answer]
    if answers and not skipped:
        problems += [
            f"{one.package}: {one.id} is ignored and no longer found: take it off the list"
            for one in known
            if one.id not in seen
        ]
    return problems, skipped


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit the locks; returns the exit code."""
    parser = argparse.ArgumentParser(description="Look for known vulnerabilities in the locks.")
    parser.add_argument("--required", action="store_true", help="fail where nothing can be asked")
    options = parser.parse_args(arguments)
    known = ignored(IGNORED)
    probe = ask([_PROBE])
    if not probe or "skip_reason" in probe[0]:
        print(
            "NOT AUDITED: the package index gave no answer about vulnerabilities. "
            "Run this where it can be reached; the hosted CI does, and fails without an answer."
        )
        return 1 if options.required else 0
    wanted = pins(LOCKS)
    problems, skipped = judge(ask(wanted), known, datetime.datetime.now(datetime.UTC).date())
    for problem in problems:
        print(problem)
    if skipped:
        print(f"not audited, not known to the index: {', '.join(skipped)}")
    print(f"audited {len(wanted) - len(skipped)} of {len(wanted)} locked packages")
    return 1 if problems or (options.required and skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
