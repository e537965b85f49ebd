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
from tests.pages import ROOT, SHELLS, blocks
from training.sft.overrides import resolve
from training.sft.recipe import SECTIONS, Recipe
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


def test_a_wrong_command_would_be_found() -> None:
    for wrong in ("compare a", "sft embedded-135m --no-such-option", "data prepare", "train x"):
        with pytest.raises(Exception, match=r"."):
            parse(["mentalllama-train", *wrong.split()])


PAGES = ("training.md", "building.md", "rating.md", "rivals.md")


def test_the_pages_on_training_show_every_command() -> None:
    page = "".join((ROOT / "docs" / name).read_text() for name in PAGES)
    group: Command = typer.main.get_command(PROGRAMS["mentalllama-train"])
    for name, command in group.commands.items():
        names = [f"{name} {one}" for one in getattr(command, "commands", ())] or [name]
        assert all(f"\nmentalllama-train {one} " in page for one in names)


def options(command: Command) -> set[str]:
    """All options of a command and of those below it."""
    own = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return own.union(*(options(one) for one in getattr(command, "commands", {}).values()))


@pytest.mark.parametrize("page", ["training.md", "benchmark.md"])
def test_options_and_fields_that_the_text_names_exist(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / "docs" / page).read_text(), flags=re.DOTALL | re.M)
    code = re.findall(r"`([^`]+)`", text)
    known = options(typer.main.get_command(PROGRAMS["mentalllama-train"]))
    # Of vLLM, accelerate, tensorboard, sha256sum and the paper's scorer.
    others = {"--max-model-len", "--config_file", "--module", "--logdir", "--check"}
    others |= {"--rule_calculate", "--help"}
    named = {word for piece in code for word in re.findall(r"(?<!\S)--[a-z][\w-]+", piece)}
    assert named <= known | others
    fields = {f"{name}.{one}" for name, kind in SECTIONS.items() for one in kind.model_fields}
    sections = "|".join(SECTIONS)
    for piece in code:
        for field in re.findall(rf"(?<![\w./])(?:{sections})\.[a-z_]+", piece):
            assert field in fields, field
        for field in re.findall(r"(?<![\w.])([a-z_]+)=", piece):
            assert field in Recipe.model_fields, field


def test_the_benchmark_page_names_every_metric() -> None:
    from training.evaluate.metrics import METRICS

    page = (ROOT / "docs" / "benchmark.md").read_text()
    assert all(f"| {metric.title} |" in page for metric in METRICS.values())
