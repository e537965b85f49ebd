"""What the command line prints: answers on standard output, everything else on standard error.

Texts come from posts, models and remote services. `plain` takes out what a terminal would obey, and
rich is given `Text`, never markup, so that a text is shown and does nothing.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

_PIPE_WIDTH = 100
# C0 without tab and line feed, DEL, C1; and the marks that reorder a line's characters.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Return the text without control characters, save line feeds and tabs."""
    return _CONTROLS.sub("", text)


def output() -> Console:
    """Console on standard output; where that is no terminal, colourless and 100 columns wide."""
    return _console(stderr=False)


def notices() -> Console:
    """Console on standard error."""
    return _console(stderr=True)


def notice(message: str) -> None:
    """Print one line on standard error."""
    notices().print(Text(plain(message)), soft_wrap=True)


@contextmanager
def waiting(message: str) -> Iterator[None]:
    """Show on standard error that something takes long; a line where that is no terminal."""
    console = notices()
    if console.is_terminal:
        with console.status(Text(plain(message))):
            yield
    else:
        notice(message)
        yield


def print_json(value: Mapping[str, Any]) -> None:
    """Print a JSON object on standard output, as Unicode where that can hold it."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=not unicode) + "\n")
    sys.stdout.flush()


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console
