"""Guards the arrows between the packages and keeps heavy imports out of module level.

Reads every module of `imhi`, `service` and `training` with `ast` and runs none of them. Two kinds
of rule: an arrow, "this package never imports that one", holds for every import statement, inside
functions too; "no heavy import" holds for what runs when a module is imported, so that the light
parts start, and are tested, without torch or vLLM. A broken rule comes out as one line a place.

    .venv/bin/python scripts/imports.py [ROOT]

Exit codes: 0 all rules hold, 1 one is broken.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("imhi", "service", "training", "loadtests")

# Seconds and gigabytes to import, or there with vLLM alone: only inside the functions that use
# them.
HEAVY = frozenset(
    {
        "accelerate",
        "datasets",
        "datasketch",
        "gguf",
        "matplotlib",
        "nltk",
        "opentelemetry",
        "pandas",
        "peft",
        "pyarrow",
        "ray",
        "rouge_score",
        "sacrebleu",
        "scipy",
        "sklearn",
        "tensorboard",
        "torch",
        "torchmetrics",
        "transformers",
        "trl",
        "vllm",
    }
)
# Modules that may import heavy packages at module level, by dotted name.
HEAVY_MODULES: frozenset[str] = frozenset()

# imhi knows the standard library and itself.
CLOSED = {"imhi": frozenset(sys.stdlib_module_names) | {"imhi"}}
# From a package (left) to what neither it nor its subpackages may import (right).
FORBIDDEN = {
    "service": frozenset({"training"}),
    "service.analysis": frozenset({"fastapi", "service.api", "starlette"}),
}


@dataclass(frozen=True)
class Import:
    """One imported name: `target` is dotted and absolute, `deferred` if inside a function."""

    module: str
    target: str
    line: int
    deferred: bool


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Every module of our packages under `root`: its dotted name and its file."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports_of(module: str, path: Path) -> list[Import]:
    """Every import in a module but those for type checkers alone.

    Args:
        module: The dotted name of the module.
        path: Its file.

    Returns:
        One entry a name; `from a import b` counts as `a.b`, as b may be a module.
    """
    found: list[Import] = []

    def targets(node: ast.Import | ast.ImportFrom) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        base = node.module or ""
        if node.level:
            package = module.split(".")
            # Of a package's own __init__ the first dot is the package itself.
            drop = node.level - (path.name == "__init__.py")
            parents = package[: len(package) - drop]
            base = ".".join([*parents, *([base] if base else [])])
        return [f"{base}.{alias.name}" for alias in node.names]

    def walk(node: ast.AST, *, deferred: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                found.extend(Import(module, t, child.lineno, deferred) for t in targets(child))
            elif isinstance(child, ast.If) and _is_type_checking(child.test):
                for other in child.orelse:
                    walk(ast.Module([other], []), deferred=deferred)
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                walk(child, deferred=deferred or inside)

    walk(ast.parse(path.read_text(encoding="utf-8"), str(path)), deferred=False)
    return found


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def broken_rule(entry: Import) -> str | None:
    """The rule that an import breaks, as a sentence; None if it breaks none."""
    top = entry.target.split(".")[0]
    for package, allowed in CLOSED.items():
        if _within(entry.module, package) and top not in allowed:
            return f"{package} imports only the standard library"
    for package, forbidden in FORBIDDEN.items():
        for other in sorted(forbidden):
            if _within(entry.module, package) and _within(entry.target, other):
                return f"{package} never imports {other}"
    if top in HEAVY and not entry.deferred and entry.module not in HEAVY_MODULES:
        return f"import {top} inside the function that uses it: light parts start without it"
    return None


def violations(root: Path) -> list[str]:
    """Every broken rule under `root`, one line each: place, import, rule."""
    lines: list[str] = []
    for module, path in modules(root):
        for entry in imports_of(module, path):
            if rule := broken_rule(entry):
                place = f"{path.relative_to(root)}:{entry.line}"
                lines.append(f"{place}: {module} imports {entry.target}: {rule}")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Prints the broken rules and returns the exit code."""
    found = violations(Path(arguments[0]) if arguments else ROOT)
    print("\n".join(found) if found else "The arrows hold and no heavy import stands at a top.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
