"""Writes the pages of docs/reference from the code, or says whether they are up to date.

    python -m scripts.reference [--check]

Each page is made by one function here: the HTTP interface from the OpenAPI document, the commands
from typer, the settings from their fields, the metrics from the registry that serves them.

Exit codes: 0 written or up to date, 1 a file differs from the code (`--check`).
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import prometheus_client
import typer
from pydantic_core import PydanticUndefined

import service.cli
import training.cli.main
from scripts import reference_http
from scripts.markdown import table
from service import generated, metrics
from service.cli.exit_codes import MEANINGS
from service.settings import PREFIX, Settings

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
HEAD = "<!-- Written by `python -m scripts.reference`; edit the code that it describes instead. -->"
PROGRAMS = {"mentalllama": service.cli.app, "mentalllama-train": training.cli.main.app}


def settings() -> Iterator[str]:
    """The page on the settings: a row a field."""
    yield "# Settings"
    yield ""
    yield (
        "A deployment is set up with environment variables, read once at the start. A wrong value "
        "stops the start with exit code 2 and a message that names the variable. vLLM has options "
        "and variables of its own: `mentalllama serve -- --help=all` lists the options."
    )
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default is None or default is PydanticUndefined else f"`{default}`"
        kind = re.sub(r"<class '([\w.]+\.)?(\w+)'>", r"\2", str(field.annotation))
        kind = re.sub(r"\b(pathlib|pydantic\.types|typing)\.", "", kind)
        rows.append((f"`{PREFIX}{name.upper()}`", f"`{kind}`", shown, field.description or ""))
    yield from table(("variable", "takes", "default", "what it does"), rows)


def metrics_page() -> Iterator[str]:
    """The page on the metrics: a row a metric."""
    yield "# Metrics"
    yield ""
    yield (
        "What `GET /metrics` shows of the service, in Prometheus' format, beside vLLM's own "
        "(`vllm:…`). No label's value comes from a request. What to watch, and the alerts on it, "
        "are in [operations](../operations.md#what-to-watch)."
    )
    rows = []
    for metric in _metrics():
        described = metric.describe()[0]
        suffix = "_total" if described.type == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        rows.append(
            (f"`{described.name}{suffix}`", described.type, labels, described.documentation)
        )
    yield from table(("metric", "kind", "labels", "what it counts or measures"), rows)


def _metrics() -> Iterator[Any]:
    for value in vars(metrics).values():
        if isinstance(value, prometheus_client.metrics.MetricWrapperBase):
            yield value


def commands() -> Iterator[str]:
    """The page on the command lines: a part a command."""
    yield "# Commands"
    yield ""
    yield "What `--help` says of each command. `make setup` puts both programs into `.venv/bin`."
    for name, app in PROGRAMS.items():
        command = typer.main.get_command(app)
        yield ""
        yield f"## {name}"
        yield ""
        yield _words(command.help)
        yield from _below(command, name)
    yield ""
    yield "## Exit codes"
    yield ""
    yield "Of `mentalllama`; `mentalllama-train --help` lists those of the other."
    yield from table(
        ("code", "meaning"), [(str(int(code)), said) for code, said in MEANINGS.items()]
    )


def _below(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        full = f"{path} {name}"
        yield ""
        yield f"### {full}"
        yield ""
        if hasattr(command, "commands"):
            yield _words(command.help)
            yield from _below(command, full)
            continue
        context = command.make_context(full, [], resilient_parsing=True)
        yield "```text"
        yield command.get_usage(context).removeprefix("Usage: ")
        yield "```"
        yield ""
        yield _words(command.help)
        rows = [_parameter(one, context) for one in command.params if one.name != "help"]
        if rows:
            yield from table(("argument or option", "default", "what it does"), rows)


def _parameter(one: Any, context: Any) -> tuple[str, str, str]:
    """A row of the table of a command's arguments and options."""
    record = one.get_help_record(context)
    shown = f"`{record[0] if record else one.display_name_raw}`"
    if one.required:
        return shown, "required", one.help or ""
    default = one.default() if callable(one.default) else one.default
    none = default is None or default is False or default in ([], ())
    said = "" if none else f"`{getattr(default, 'value', default)}`"
    return shown, said, one.help or ""


def _words(text: str | None) -> str:
    """A help text as Markdown, its indented examples as blocks, a command a line."""
    out: list[str] = []
    for paragraph in inspect.cleandoc(text or "").replace("\f", "").split("\n\n"):
        if paragraph.startswith("    "):
            command = " ".join(line.strip() for line in paragraph.splitlines())
            out.append(f"```bash\n{command}\n```")
        else:
            out.append(paragraph)
    return "\n\n".join(out).replace("\n```\n\n```bash\n", "\n")


PAGES: Mapping[str, Callable[[], Iterator[str]]] = {
    "commands.md": commands,
    "http.md": reference_http.page,
    "metrics.md": metrics_page,
    "settings.md": settings,
}


def render(name: str) -> str:
    """A page as it stands in its file."""
    lines = "\n".join((HEAD, "", *PAGES[name]()))
    return re.sub(r"\n{3,}", "\n\n", lines).rstrip() + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return max(
        generated.run(
            lambda name=name: render(name),  # type: ignore[misc]
            FOLDER / name,
            what="the reference",
            remedy="make reference",
            arguments=given,
        )
        for name in PAGES
    )


if __name__ == "__main__":
    sys.exit(main())
