"""Text that was damaged on its way, mended where that can be done without a guess.

Each rule is a function from text to text, `str` in and `str` out, that leaves sound text as it is.
`Mender` applies the rules that are on, one after the other, and remembers which rows each changed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextRule:
    """One kind of damage.

    Attributes:
        id: the name on the command line and in reports.
        description: what it does, one sentence.
        mend: the text, mended.
    """

    id: str
    description: str
    mend: Callable[[str], str]


# UTF-8 that was read as Mac OS Roman. Every byte from 80 to FF is one character there, so each
# encoded character shows as a run of two to four known ones. Of the two-byte leads only C2 and C3
# are taken (Latin-1 letters and signs): the others are punctuation that can stand before a letter.
def _mac_roman(first: int, last: int) -> str:
    return "[" + re.escape(bytes(range(first, last + 1)).decode("mac_roman")) + "]"


_MOJIBAKE = re.compile(
    "{c2}{c}|{e}{c}{c}|{f}{c}{c}{c}".format(
        c2=_mac_roman(0xC2, 0xC3),
        e=_mac_roman(0xE2, 0xEF),
        f=_mac_roman(0xF0, 0xF4),
        c=_mac_roman(0x80, 0xBF),
    )
)


def undo_mac_roman(text: str) -> str:
    """Return the text with UTF-8 that was read as Mac OS Roman read as UTF-8.

    Sequences that do not decode stay as they are.
    """
    return _MOJIBAKE.sub(_decoded, text)


def _decoded(match: re.Match[str]) -> str:
    try:
        return match[0].encode("mac_roman").decode("utf-8")
    except UnicodeDecodeError:
        return match[0]


# The semicolon is asked for: without it `html.unescape` would read "&not" in "&nothing".
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_ESCAPED_TWICE = 2


def unescape_entities(text: str) -> str:
    """Return the text with HTML entities as the characters that they name, twice escaped ones too.

    A zero-width space is left out and a no-break space is a space: Reddit's editor left them.
    """
    for _ in range(_ESCAPED_TWICE):
        text = _ENTITY.sub(_named, text)
    return text


def _named(match: re.Match[str]) -> str:
    character = html.unescape(match[0])
    return {"\u200b": "", "\xa0": " "}.get(character, character)


TEXT_RULES: Mapping[str, TextRule] = {
    rule.id: rule
    for rule in (
        TextRule(
            "mojibake",
            "UTF-8 that was read as Mac OS Roman is read as UTF-8.",
            undo_mac_roman,
        ),
        TextRule(
            "entities",
            "HTML entities become the characters that they name.",
            unescape_entities,
        ),
    )
}
"""The rules by id, in the order in which they are applied."""


class Mender:
    """Mends texts and remembers the rows.

    Attributes:
        changed: rule id to the rows (`source:row`) in which it changed anything, in order.
    """

    def __init__(self, without: Collection[str] = ()) -> None:
        self._rules = [rule for rule in TEXT_RULES.values() if rule.id not in without]
        self.changed: dict[str, dict[str, None]] = {rule.id: {} for rule in self._rules}

    def __call__(self, text: str, row_id: str) -> str:
        """Return the text mended; a `training.data.tables.Mend`."""
        for rule in self._rules:
            mended = rule.mend(text)
            if mended != text:
                self.changed[rule.id][row_id] = None
                text = mended
        return text
