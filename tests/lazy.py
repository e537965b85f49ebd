"""Heavy modules under their own names, imported at first use: collecting tests imports none."""

from __future__ import annotations

import importlib
from typing import Any


class Lazy:
    """Stands for a module until something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith(("_", "pytest")):  # what pytest asks of everything that it collects
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)


torch: Any = Lazy("torch")
safetensors: Any = Lazy("safetensors.torch")
sklearn: Any = Lazy("sklearn.metrics")
