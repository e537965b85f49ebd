"""`mentalllama model build|show`: makes the embedded model; shows what a model says of itself."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from service.analysis.manifest import MANIFEST_FILE
from service.cli.failures import failures_reported
from service.cli.terminal import notice, output, plain, print_json
from service.models import (
    EMBEDDED,
    EMBEDDED_BASE,
    EMBEDDED_MODELS,
    build_embedded_model,
    embedded_model_path,
    is_embedded_model,
    local_manifest,
    manifest_of,
    resolve_model,
)


class Embedded(StrEnum):
    """The models that can be built."""

    TUNED = EMBEDDED
    BASE = EMBEDDED_BASE


app = typer.Typer(no_args_is_help=True, help="Build the embedded model; show what a model is.")


@app.command()
def build(
    model: Annotated[
        Embedded, typer.Argument(help="`embedded`, or `embedded-base`: the same, untrained.")
    ] = Embedded.TUNED,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Directory to build in; the cache, where `serve` looks, by default."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Build again where the model already is.")
    ] = False,
) -> None:
    """Build an embedded model, as the first `serve` or `analyze` would. Prints the directory."""
    with failures_reported():
        path = build_embedded_model(
            directory or embedded_model_path(model),
            model=model,
            replace=force,
            announce=notice,
        )
        output().print(Text(str(path)), soft_wrap=True)


@app.command()
def show(
    model: Annotated[
        str, typer.Argument(help="`embedded`, `embedded-base`, a directory, or an id on a hub.")
    ] = EMBEDDED,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a model's path, size, prompt style, calibration and measured results.

    Nothing is built, downloaded or loaded for it.
    """
    with failures_reported():
        described = describe(model)
        if as_json:
            print_json(described)
            return
        table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in _rows(described):
            table.add_row(name, Text(plain(value)))
        output().print(table)


def describe(model: str) -> dict[str, Any]:
    """Return what is known of a model without loading it, as JSON values.

    Args:
        model: a name that `service.models.resolve_model` takes.

    Returns:
        `name`; `path` (a directory or an id); `embedded`; `built` (None for a model on a hub);
        `bytes` of its files (None where there are none here); `manifest`, read or assumed (None
        where it is known only once the model is loaded); `manifest_file`, whether it was read.

    Raises:
        ModelError: see `resolve_model`.
    """
    if model in EMBEDDED_MODELS and not is_embedded_model(path := embedded_model_path(model)):
        manifest = manifest_of(model)
        return {
            "name": manifest.name if manifest else model,
            "path": str(path),
            "embedded": True,
            "built": False,
            "bytes": None,
            "manifest": None,
            "manifest_file": False,
        }
    resolved = resolve_model(model)
    directory = Path(resolved.path)
    local = directory.is_dir()
    return {
        "name": resolved.name,
        "path": resolved.path,
        "embedded": resolved.embedded,
        "built": True if local else None,
        "bytes": _bytes(directory) if local else None,
        "manifest": local_manifest(directory).model_dump(mode="json") if local else None,
        "manifest_file": (directory / MANIFEST_FILE).is_file(),
    }


def _bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _rows(described: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("Name", described["name"]), ("Path", described["path"])]
    if described["built"] is False:
        rows.append(("State", "not built yet: run `mentalllama model build`, or use it"))
    if described["bytes"] is not None:
        rows.append(("Size", f"{described['bytes'] / 1e6:,.1f} MB"))
    manifest = described["manifest"]
    if manifest is None:
        if described["built"] is None:
            rows.append(("Manifest", "on the hub; read when the model is loaded"))
        return rows
    source = MANIFEST_FILE if described["manifest_file"] else "none; assumed"
    calibrated = sorted(manifest["calibration"])
    return [
        *rows,
        ("Manifest", source),
        ("Base model", manifest["base_model"] or "not stated"),
        ("Prompt style", manifest["prompt_style"]),
        ("Wording", manifest["wording_version"]),
        ("Calibration", ", ".join(calibrated) or "none"),
        *(
            (f"{row['set']} {row['split']}", f"{row['metric']} {row['value']:g}")
            for row in manifest["results"]
        ),
        *([("Licence", manifest["licence"])] if manifest["licence"] else []),
        *([("Notes", manifest["notes"])] if manifest["notes"] else []),
    ]
