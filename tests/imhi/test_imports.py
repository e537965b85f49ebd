"""`imhi` runs where nothing but Python is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_imhi_imports_with_the_standard_library_alone() -> None:
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "imhi").rglob("*.py")]
    names = [".".join(path.parts).removesuffix(".__init__") for path in files]
    # Without site-packages; -I leaves the working directory out too, so that it is given by hand.
    source = "import importlib, sys; sys.path.insert(0, sys.argv[1]); " + (
        "[importlib.import_module(name) for name in sys.argv[2:]]"
    )
    command = [sys.executable, "-I", "-S", "-c", source, str(ROOT), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
