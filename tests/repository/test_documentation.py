"""The documentation as a whole: the site, the links, the reference, and what runs of it."""

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

from scripts import reference
from tests.pages import ROOT, SHELLS, blocks, commands, pages
from tests.unrun import UNRUN, reason

LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)|<(https?://[^>\s]+)>")


class Page(HTMLParser):
    """What a built page loads, and where its text links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        place = given.get("src") or given.get("data")
        if place and tag in ("script", "img", "iframe", "source", "object", "embed", "video"):
            self.loaded.append(place)
        if tag == "link" and given.get("href"):
            self.loaded.append(given["href"] or "")
        if tag == "a" and given.get("href"):
            self.linked.append(given["href"] or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it: a warning, so a link to nothing, would end it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.site", "--output", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in (*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")):
        built = site / page.relative_to(ROOT / "docs").with_suffix(".html")
        assert built.is_file(), page.name
    index = (site / "index.html").read_text()
    for caption in ("Tutorial", "How to", "Reference", "Explanation"):
        assert f'<span class="caption-text">{caption}</span>' in index


def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    for built in site.rglob("*.html"):
        page = Page()
        page.feed(built.read_text(encoding="utf-8"))
        assert page.loaded
        assert [one for one in page.loaded if re.match(r"(https?:)?//", one)] == []
    for style in site.rglob("*.css"):
        outside = re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", style.read_text())
        assert outside == [], style.name


def test_files_that_the_site_links_to_are_part_of_it(site: Path) -> None:
    for built in site.rglob("*.html"):
        page = Page()
        page.feed(built.read_text(encoding="utf-8"))
        for link in page.linked:
            parts = urlsplit(link)
            if not parts.scheme and parts.path:
                assert (built.parent / parts.path).exists(), (built.name, link)


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


def test_each_kind_of_command_that_is_not_run_is_shown_somewhere() -> None:
    shown = [one for block in blocks() if block.language in SHELLS for one in commands(block)]
    for kind in UNRUN:
        assert any(re.match(kind, one) for one in shown), kind
    assert any(reason(one) is None for one in shown)


def test_blocks_say_their_language() -> None:
    """A block of shell without one would be run by no test."""
    for block in blocks():
        if not block.language:
            first = block.code.split()[0]
            assert first not in ("curl", "make", "pip", "python", "docker", "helm"), block
            assert not first.startswith("mentalllama") or "[" in block.code, block


def test_data_in_blocks_is_what_it_is_said_to_be() -> None:
    for block in blocks():
        if block.language == "yaml":
            assert yaml.safe_load(block.code)
        if block.language == "json":
            try:
                json.loads(block.code)
            except ValueError:
                assert [json.loads(line) for line in block.code.splitlines()], block.page


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    assert (reference.FOLDER / name).read_text(encoding="utf-8") == reference.render(name)


def test_the_reference_is_whole() -> None:
    from prometheus_client import REGISTRY

    from service import metrics  # noqa: F401 - registers them
    from service.api.openapi import build_document
    from service.settings import PREFIX, Settings

    document = build_document()
    http = reference.render("http.md")
    assert all(
        f"### {verb.upper()} {path}" in http for path, o in document["paths"].items() for verb in o
    )
    assert all(f"### {name}\n" in http for name in document["components"]["schemas"])
    settings = reference.render("settings.md")
    assert all(f"`{PREFIX}{name.upper()}`" in settings for name in Settings.model_fields)
    shown = reference.render("metrics.md")
    ours = {one.name for one in REGISTRY.collect() if one.name.startswith("mentalllama_")}
    assert ours
    assert all(f"`{name}" in shown for name in ours)
