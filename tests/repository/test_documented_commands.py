"""Every command that a page or a recipe shows is one that the command lines take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer

import service.cli
import training.cli.main
from tests.pages import ROOT, SHELLS, blocks, pages
from training.sft.overrides import resolve
from training.sft.recipe_file import shipped

PROGRAMS = {"mentalllama": service.cli.app, "mentalllama-train": training.cli.main.app}
RECIPES = sorted((ROOT / "training" / "recipes").rglob("*.yaml"))
PLACEHOLDERS = {"RECIPE": "embedded-135m", "DIR": "prepared", "N": "2"}

Command = Any  # typer's copy of click has no public name for its classes


def shown() -> Iterator[tuple[Path, str]]:
    """Every command line in a block of a page, or in a comment of a recipe."""
    for block in blocks():
        if block.language in ("", "text", *SHELLS):
            for line in block.code.replace("\\\n", " ").splitlines():
                yield ROOT / block.page, line.removeprefix("$ ").removeprefix(".venv/bin/")
    for recipe in RECIPES:
        for line in recipe.read_text().splitlines():
            if line.startswith("#   "):
                yield recipe, line.removeprefix("#   ")


def commands() -> list[Any]:
    """Those of our programs, with the words of synopses left out."""
    found = {}
    for page, line in shown():
        words = shlex.split(line, comments=True) if line.split()[:1] else []
        words = list(takewhile(lambda word: word not in ("<", ">", "|"), words))
        if words and words[0] in PROGRAMS and "[" not in line:
            found[page.name, " ".join(words)] = words
    return [pytest.param(words, id=f"{name}: {line}") for (name, line), words in found.items()]


def parse(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command's name and what it would be given; raises where it would not take it."""
    command: Command = typer.main.get_command(PROGRAMS[words[0]])
    name, rest, parent = words[0], words[1:], None
    while True:
        context = command.make_context(name, list(rest), parent=parent)
        if not hasattr(command, "commands"):
            return name, context.params
        name, command, rest = command.resolve_command(context, rest)
        parent = context


@pytest.mark.parametrize("words", commands())
def test_the_command_line_takes_it(words: list[str]) -> None:
    name, given = parse([PLACEHOLDERS.get(word, word) for word in words])
    if words[0] == "mentalllama-train" and name == "sft" and given["recipe"] in shipped():
        resolve(given["recipe"], given["overrides"] or ())  # raises for a field that is not there


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_targets_of_make_that_pages_name_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    code = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    # In code only: elsewhere "make" is a verb.
    named = {*re.findall(r"^make ([a-z-]+)", code, re.MULTILINE)}
    named |= {*re.findall(r"`make\s+([a-z-]+)", text)}
    assert named <= targets
