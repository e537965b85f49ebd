"""A real Chromium, Debian's, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

SHOTS = "MENTALLLAMA_SCREENSHOTS"
"""Names a folder to keep screenshots in, as docs/images is made."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser until the block is left; the test is skipped where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian's package of that name)")
    # As root, as in containers, Chromium's own sandbox does not start.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page of the playground, and everything that its console complains of.

    Args:
        browser: opens it.
        url: of the service.
        options: of the browser's context, such as `viewport`.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text)
                # A refused request is on the console too, and shown on the page.
                if message.type == "error" and "Failed to load resource" not in message.text
                else None
            ),
        )
        self._url = url

    def open(self) -> Page:
        """Go to the page."""
        self.page.goto(self._url)
        return self.page

    def pick(self, *tasks: str) -> None:
        """Choose these tasks and no other."""
        self.page.click("#none")
        for task in tasks:
            self.page.check(f'input[value="{task}"]')

    def shot(self, name: str) -> None:
        """Keep a screenshot, where that is wanted."""
        if folder := os.environ.get(SHOTS):
            from PIL import Image

            shot = Image.open(BytesIO(self.page.screenshot(full_page=True))).convert("RGB")
            # Few colours: a fourth of the size, and nobody sees it.
            path = Path(folder) / f"playground-{name}.png"
            shot.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)

    def close(self) -> None:
        """Close it."""
        self.context.close()
