"""Resolves `pyproject.toml` into `uv.lock`, and exports what pip and the images need of it.

    .venv/bin/python scripts/lock.py [any option of uv lock, such as --upgrade]

PyTorch's CPU build has an index of its own, which some networks do not reach. There a stand-in on
this machine takes its place: an index that lists the release of torch that is installed here, for
every Python and machine of the lock, with the metadata that this one has. It has no hashes.
"""

from __future__ import annotations

import functools
import http.server
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from importlib import metadata
from pathlib import Path

from scripts.install import EXTRAS, ROOT, TORCH_INDEX, UV, find_uv, leave_out

REQUIREMENTS = ROOT / "requirements"
HEADER = "# {what} of uv.lock, for pip and the images. Written by scripts/lock.py (make lock).\n"
_PYTHONS = ("cp311", "cp312", "cp313")
_MACHINES = ("x86_64", "aarch64")


def reaches_torch_index() -> bool:
    """Whether PyTorch's index answers."""
    try:
        with urllib.request.urlopen(f"{TORCH_INDEX}/torch/", timeout=20) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError):
        return False


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: uv asks it for every package."""


def stand_in(folder: Path) -> http.server.ThreadingHTTPServer:
    """An index of the installed torch, served from `folder` on a free port of this machine."""
    torch = metadata.distribution("torch")
    tag = next(line[5:] for line in (torch.read_text("WHEEL") or "").splitlines() if "Tag:" in line)
    system = tag.split("-", 2)[2].removesuffix(platform.machine())
    index = folder / urllib.parse.urlsplit(TORCH_INDEX).path.strip("/")
    (index / "torch").mkdir(parents=True)
    links = []
    for machine in _MACHINES:
        for python in _PYTHONS:
            name = f"torch-{torch.version}-{python}-{python}-{system}{machine}.whl"
            (index / f"{name}.metadata").write_text(torch.read_text("METADATA") or "")
            href = name.replace("+", "%2B")
            links.append(f'<a href="../{href}" data-core-metadata="true">{name}</a>')
    (index / "torch" / "index.html").write_text("<!doctype html>\n" + "\n".join(links))
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def export(uv: str, build: str, *, everything: bool) -> None:
    """Write what a build needs to serve, or for everything, as requirements with hashes."""
    path = REQUIREMENTS / f"{build}{'-all' if everything else ''}.txt"
    extras = [word for extra in (build, *EXTRAS * everything) for word in ("--extra", extra)]
    command = [uv, "export", "--quiet", "--frozen", "--no-header", "--no-emit-project"]
    command += ["--no-annotate", *extras, *leave_out(build)]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    what = f"Everything for the {build} build" if everything else f"Serving with the {build} build"
    path.write_text(HEADER.format(what=what) + lines, encoding="utf-8")
    pins = re.findall(r"^[^ #]+==", lines, re.MULTILINE)
    print(f"{path.relative_to(ROOT)}: {len(pins)} pins")


def main(options: list[str]) -> int:
    """Lock and export; the exit code is uv's."""
    uv = find_uv() or str(Path(sys.executable).with_name("uv"))
    if not Path(uv).exists():
        sys.exit(f"There is no uv. Install it: {sys.executable} -m pip install uv=={UV}")
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        here = ""
        if not reaches_torch_index():
            print(f"{TORCH_INDEX} is not reached: taking the installed torch", file=sys.stderr)
            path = urllib.parse.urlsplit(TORCH_INDEX).path
            here = f"http://127.0.0.1:{stand_in(Path(folder)).server_port}{path}"
            environment["UV_INDEX"] = f"pytorch-cpu={here}"
        code = subprocess.call([uv, "lock", *options], cwd=ROOT, env=environment)
    if code:
        return code
    lock = ROOT / "uv.lock"
    if here:
        lock.write_text(lock.read_text(encoding="utf-8").replace(here, TORCH_INDEX), "utf-8")
    for build in ("cpu", "gpu"):
        export(uv, build, everything=False)
        export(uv, build, everything=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
