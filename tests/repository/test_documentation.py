"""The documentation as a whole: the site, the links, the data in blocks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.pages import ROOT, blocks, pages

LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)|<(https?://[^>\s]+)>")


class Page(HTMLParser):
    """What a built page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        place = given.get("src") or given.get("data")
        if place and tag in ("script", "img", "iframe", "source", "object", "embed", "video"):
            self.loaded.append(place)
        if tag == "link" and given.get("href"):
            self.loaded.append(given["href"] or "")


@pytest.mark.slow
def test_the_site_is_built_and_loads_nothing_from_another_host(tmp_path: Path) -> None:
    """As `make docs` builds it: a warning, so a link to nothing, ends it."""
    pytest.importorskip("sphinx", reason="Sphinx is not installed; `make docs` installs it")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-b", "html", "-c", "docs"]
    command += ["-d", str(tmp_path / "doctrees"), ".", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for page in (*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")):
        assert (tmp_path / "site" / page.relative_to(ROOT).with_suffix(".html")).is_file()
    for built in (tmp_path / "site").rglob("*.html"):
        page = Page()
        page.feed(built.read_text(encoding="utf-8"))
        assert page.loaded
        assert [one for one in page.loaded if re.match(r"(https?:)?//", one)] == []
    for style in (tmp_path / "site").rglob("*.css"):
        outside = re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", style.read_text())
        assert outside == [], style.name


def slug(heading: str) -> str:
    """The anchor that a forge makes of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Inside the repository to files and headings that are there; outside, of the right form."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in (one or other for one, other in LINK.findall(text)):
        parts = urlsplit(link)
        if parts.scheme:
            assert (parts.scheme in ("https", "mailto")) or parts.hostname == "localhost", link
            assert parts.hostname is None or re.fullmatch(r"[a-z0-9.-]+", parts.hostname), link
            continue
        target = page.parent / parts.path if parts.path else page
        assert target.exists(), link
        if parts.fragment and target.suffix == ".md":
            assert parts.fragment in anchors(target), link


def test_data_in_blocks_is_what_it_is_said_to_be() -> None:
    for block in blocks():
        if block.language == "yaml":
            assert yaml.safe_load(block.code)
        if block.language == "json":
            try:
                json.loads(block.code)
            except ValueError:
                assert [json.loads(line) for line in block.code.splitlines()], block.page
