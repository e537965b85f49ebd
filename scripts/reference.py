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
from typer.cli import get_docs_for_click

import service.cli
import training.cli.main
from scripts.reference_http import page, table
from service import generated, metrics
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
    """The page on the command lines: what typer makes of them."""
    yield "# Commands"
    yield ""
    yield "What `--help` says of each command. `make setup` puts both programs into `.venv/bin`."
    for name, app in PROGRAMS.items():
        command = typer.main.get_command(app)
        context = typer.Context(command, info_name=name)
        text = get_docs_for_click(obj=command, ctx=context, name=name)
        # Repeated below every command: the epilog of the program, and --help.
        text = text.replace(f"\n{command.epilog}\n", "")
        text = text.replace("* `--help`: Show this message and exit.\n", "")
        text = text.replace("**Options**:\n\n\n", "")
        # A synopsis is nothing to paste; examples are, and tests read them.
        text = text.replace("```console\n$ ", "```text\n")
        text = re.sub(r"(?:^    .+\n\n?)+", _example, text, flags=re.MULTILINE)
        yield re.sub(r"^#", "\n##", text, flags=re.MULTILINE)
        yield str(command.epilog)


def _example(indented: re.Match[str]) -> str:
    """Indented commands as a block of shell, a command a line."""
    paragraphs = inspect.cleandoc(indented[0]).split("\n\n")
    lines = (" ".join(one.split()) for one in paragraphs)
    return "\n".join(("```bash", *lines, "```", "", ""))


PAGES: Mapping[str, Callable[[], Iterator[str]]] = {
    "commands.md": commands,
    "http.md": page,
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
