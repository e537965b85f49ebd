"""The arrows between the packages, and light parts that start without torch, vLLM, transformers."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from scripts import imports

ROOT = Path(__file__).resolve().parents[2]

# Imports every module of our packages where the heavy ones cannot be imported, and prints which.
IMPORT_ALL = """
import importlib, sys

blocked, skipped = set(sys.argv[1].split(",")), set(sys.argv[2].split(","))

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked in this test", name=name)
        return None

sys.meta_path.insert(0, Block())
for name in sys.argv[3:]:
    if name not in skipped:
        importlib.import_module(name)
        print(name)
"""


def names_of_modules() -> list[str]:
    return [name for name, _ in imports.modules(ROOT) if not name.endswith(".__main__")]


def write(root: Path, module: str, source: str) -> None:
    path = root.joinpath(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))


def test_arrows_hold_and_heavy_imports_are_deferred() -> None:
    assert imports.violations(ROOT) == []


def test_every_package_is_looked_at() -> None:
    found = {name.split(".")[0] for name, _ in imports.modules(ROOT)}
    assert found == set(imports.PACKAGES)


def test_every_module_imports_without_the_heavy_packages() -> None:
    names = names_of_modules()
    assert {"imhi", "service", "training"} <= set(names)
    assert {"service.analysis.analyzer", "service.api.app", "service.cli"} <= set(names)
    blocked, skipped = ",".join(imports.HEAVY), ",".join(imports.HEAVY_MODULES)
    command = [sys.executable, "-c", IMPORT_ALL, blocked, skipped, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name for name in names if name not in imports.HEAVY_MODULES]


def test_imhi_imports_with_the_standard_library_alone() -> None:
    """Without site-packages, so that nothing but the standard library is there to be found."""
    names = [name for name in names_of_modules() if name.split(".")[0] == "imhi"]
    # -I leaves the working directory out of the path too, so that it is given by hand.
    source = "import importlib, sys; sys.path.insert(0, sys.argv[1]); " + (
        "[importlib.import_module(name) for name in sys.argv[2:]]"
    )
    command = [sys.executable, "-I", "-S", "-c", source, str(ROOT), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "source", "rule"),
    [
        ("imhi.tasks", "import pydantic", "imhi imports only the standard library"),
        ("imhi.tasks", "from service import x", "imhi imports only the standard library"),
        ("service.plugin", "from training.data import x", "service never imports training"),
        ("service.plugin", "def f():\n    import training", "service never imports training"),
        ("service.analysis.trie", "import fastapi", "service.analysis never imports fastapi"),
        ("service.analysis.trie", "from ..api import x", "never imports service.api"),
        ("service.analysis.trie", "from .. import api", "never imports service.api"),
        ("service.analysis.trie", "def f():\n    import starlette.types", "imports starlette"),
        ("service.server", "import torch", "inside the function"),
        ("service.server", "try:\n    import vllm.envs\nexcept ImportError: ...", "inside the"),
        ("service.server", "class A:\n    from transformers import x", "inside the function"),
        ("training.sft", "from torch.nn import Linear", "inside the function"),
    ],
)
def test_broken_rule_is_found(tmp_path: Path, module: str, source: str, rule: str) -> None:
    write(tmp_path, module, source)
    (line,) = imports.violations(tmp_path)
    assert rule in line
    assert line.startswith(f"{module.replace('.', '/')}.py:")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("imhi.tasks", "import json, re\nfrom .labels import Label\nfrom imhi import prompts"),
        ("service.plugin", "import imhi\nfrom .api import app\nimport fastapi"),
        ("service.analysis.trie", "from . import labels\nfrom ..metrics import x"),
        ("service.analysis.trie", "from service.apiary import x"),
        ("service.server", "def f():\n    import torch\n    from vllm import LLM"),
        (
            "service.server",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vllm import LLM",
        ),
        ("training.sft", "from service.analysis import x\nimport imhi"),
    ],
)
def test_what_the_rules_allow_passes(tmp_path: Path, module: str, source: str) -> None:
    write(tmp_path, module, source)
    assert imports.violations(tmp_path) == []


def test_else_of_a_type_checking_block_runs(tmp_path: Path) -> None:
    source = "if TYPE_CHECKING:\n    import vllm\nelse:\n    import torch"
    write(tmp_path, "service.server", source)
    (line,) = imports.violations(tmp_path)
    assert line.startswith("service/server.py:4:")


def test_relative_import_in_a_package_itself(tmp_path: Path) -> None:
    write(tmp_path, "service.analysis.__init__", "from ..api import x")
    write(tmp_path, "imhi.__init__", "from .tasks import x")
    (line,) = imports.violations(tmp_path)
    assert "service.analysis imports service.api.x" in line


def test_command_fails_on_a_broken_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "service.server", "import torch")
    assert imports.main([str(tmp_path)]) == 1
    assert "service/server.py:1" in capsys.readouterr().out
    write(tmp_path, "service.server", "import json")
    assert imports.main([str(tmp_path)]) == 0
