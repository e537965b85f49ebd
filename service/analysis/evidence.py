"""Evidence: the quotes of an explanation that stand in the post.

`find_quotes` looks for spans between quotation marks in the explanation, folds both texts to a
form in which differences that do not matter are gone, and looks each quote up in the post.
`find_evidence` keeps what stands there. Offsets are those of the texts as they were given, never of
the folded form.

Folding takes away case, compatibility forms (ligatures, full-width letters), the difference between
composed and combining letters, invisible characters, the kinds of quotation marks, apostrophes,
dashes and ellipses, and runs of white space. Caseless, compatibility-equivalent matching is that of
the Unicode Standard (section 3.13, "Default Caseless Matching"), here by cluster: a base character
and the marks on it are folded together, so that every folded character knows the part of the text
it came from.

A word is a run of letters, digits and the marks on them, with the apostrophes inside ("can't" is
one word). In the folded form words are fenced by two characters that occur nowhere else: a quote is
found between whole words by one plain substring search.
"""

# ruff: noqa: RUF001 - telling look-alike characters apart is what this module does

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from service.analysis.types import Evidence

# Folding drops control characters: no text can hold these.
_WORD_START, _WORD_END = "\x02", "\x03"

_ELLIPSIS = "…"
_ELLIPSES = "…‥⋯"
_MINUS_SIGN = "\N{MINUS SIGN}"
_APOSTROPHES = frozenset("'`´‘’‚‛′ʹʼ＇")
_QUOTATION_MARKS = _APOSTROPHES | frozenset('"“”„‟″«»‹›＂')
_INVISIBLE = re.compile("[\u034f\ufe00-\ufe0f\U000e0100-\U000e01ef]")

# White space around dashes and ellipses goes too: "tired — so" is "tired-so", ". . ." is "...".
_RUN = re.compile(r" ?-[ -]*| ?(?:…|\. ?\.)[ .…]*")

# Pairs whose marks say by themselves whether they open or close. German ones close either way.
_PAIRS = (("“", "”"), ("„", "“"), ("„", "”"), ("«", "»"), ("‹", "›"))
_STRAIGHT_DOUBLE = re.compile('"+')
_MAYBE_APOSTROPHES = (("'", "'"), ("‘", "’"), ("`", "`"))
_DEPTH = 8  # of marks of one kind in each other; keeps the spans' total length linear
_CLOSINGS = 4  # tried for one opening mark that may be followed by apostrophes


@dataclass(frozen=True, slots=True)
class Quote:
    """What an explanation says between quotation marks.

    Attributes:
        start: offset of its first character in the explanation, in Unicode code points.
        end: offset after its last character.
        evidence: where the post says it, in the order of the post: one piece, or one for each part
            between ellipses; empty where the post does not.
    """

    start: int
    end: int
    evidence: tuple[Evidence, ...]


def find_quotes(explanation: str, post: str) -> tuple[Quote, ...]:
    """Find every quote of an explanation, and where it stands in the post.

    A quote that holds an ellipsis, and does not stand in the post as it is, is found where all its
    parts stand there in order; each part is then a piece of evidence. A quote inside one that was
    found adds nothing and is left out, and so is one that was not found inside another. Quotes of
    one character, or without a letter, are ignored.

    Args:
        explanation: the model's words.
        post: the text as it was sent.

    Returns:
        The quotes in the order of the explanation. Where several marks could close a quote that was
        not found, it ends at the first.
    """
    spans = sorted(set(_quoted(explanation)), key=lambda span: (span[0], -span[1]))
    if not spans:
        return ()
    said, written = _fold(explanation), _fold(post)
    found: list[Quote] = []
    missing: dict[int, int] = {}  # start to end
    covered = 0  # where the last quote that was found ends in the explanation
    for start, end in spans:
        if end <= covered:
            continue
        words = said.words(said.between(start, end))
        if words is None:
            continue
        places = _locate(said, words, written)
        if places:
            covered = end
            evidence = (Evidence(post[first:last], first, last) for first, last in places)
            found.append(Quote(start, end, tuple(evidence)))
        else:
            missing[start] = end
    return tuple(sorted([*found, *_outermost(missing, found)], key=lambda quote: quote.start))


def _outermost(missing: dict[int, int], found: list[Quote]) -> Iterator[Quote]:
    """The spans that were not found and lie in no other."""
    starts = {quote.start for quote in found}
    covered = 0
    for start, end in sorted([*missing.items(), *((one.start, one.end) for one in found)]):
        if end > covered and start not in starts:
            yield Quote(start, end, ())
        covered = max(covered, end)


def find_evidence(explanation: str, post: str) -> tuple[Evidence, ...]:
    """Find the quotes of an explanation that stand in the post; see `find_quotes`.

    Args:
        explanation: the model's words.
        post: the text as it was sent.

    Returns:
        The first occurrence of each quote, from its first word to its last, in the order of the
        post and without duplicates. Offsets are Unicode code points in `post`, and
        `quote == post[start:end]`.
    """
    pieces = {piece for quote in find_quotes(explanation, post) for piece in quote.evidence}
    return tuple(sorted(pieces, key=lambda piece: (piece.start, piece.end)))


def _quoted(text: str) -> Iterator[tuple[int, int]]:
    """Spans between quotation marks, each kind for itself: spans may lie in each other or cross."""
    for opening, closing in _PAIRS:
        yield from _paired(text, opening, closing)
    yield from _straight_double(text)
    for opening, closing in _MAYBE_APOSTROPHES:
        yield from _single(text, opening, closing)


def _paired(text: str, opening: str, closing: str) -> Iterator[tuple[int, int]]:
    open_at: list[int] = []
    for mark in re.finditer(f"[{opening}{closing}]", text):
        if mark[0] == opening:
            open_at.append(mark.end())
            del open_at[:-_DEPTH]
        elif open_at:
            yield open_at.pop(), mark.start()


def _straight_double(text: str) -> Iterator[tuple[int, int]]:
    """White space tells which way a mark faces; where it does not, marks open and close in turn."""
    start: int | None = None
    for mark in _STRAIGHT_DOUBLE.finditer(text):
        before, after = _neighbours(text, mark)
        may_open, may_close = bool(after.strip()), bool(before.strip())
        if may_open == may_close:
            may_open = may_close = True
        if start is not None and may_close:
            yield start, mark.start()
            start = None
        elif may_open:
            # With `start` set, the mark before was never closed; this one begins anew.
            start = mark.end()


def _single(text: str, opening: str, closing: str) -> Iterator[tuple[int, int]]:
    """Spans between marks that may be apostrophes too.

    An opening mark follows no letter, a closing one precedes none. In 'the posters' pain' the first
    mark that could close does not: a span is given for each of the next few, and the longest that
    stands in the post counts.
    """
    start: int | None = None
    closings = 0
    for mark in re.finditer(f"[{opening}{closing}]", text):
        before, after = _neighbours(text, mark)
        opens = mark[0] == opening and not _in_word(before) and bool(after.strip())
        closes = mark[0] == closing and not _in_word(after) and bool(before.strip())
        if start is not None and closes and not (opens and closings):
            closings += 1
            if closings <= _CLOSINGS:
                yield start, mark.start()
        elif opens:
            start, closings = mark.end(), 0


def _neighbours(text: str, mark: re.Match[str]) -> tuple[str, str]:
    """The characters before and after a mark, empty at the ends of the text."""
    first, last = mark.span()
    return text[max(first - 1, 0) : first], text[last : last + 1]


def _in_word(character: str) -> bool:
    return character != "" and (character.isalnum() or unicodedata.category(character)[0] == "M")


@dataclass(frozen=True, slots=True)
class _Folded:
    """A text as it is compared, and where each of its characters came from.

    Attributes:
        text: the folded text, words fenced.
        starts: offset in the original of the first character that each came from.
        ends: offset after the last one.
    """

    text: str
    starts: list[int]
    ends: list[int]

    def between(self, start: int, end: int) -> slice:
        """What came from between two offsets in the original."""
        return slice(bisect_left(self.starts, start), bisect_right(self.ends, end))

    def words(self, within: slice) -> slice | None:
        """The same from the first word to the last, fences included.

        None where that says nothing: no letter, or one character.
        """
        first = self.text.find(_WORD_START, within.start, within.stop)
        last = self.text.rfind(_WORD_END, within.start, within.stop)
        if first < 0 or last < first or self.ends[first + 1] == self.ends[last]:
            return None
        if not any(self.text[i].isalpha() for i in range(first, last)):
            return None
        return slice(first, last + 1)

    def parts(self, within: slice) -> Iterator[slice]:
        """What stands between ellipses."""
        first = within.start
        for piece in self.text[within].split(_ELLIPSIS):
            yield slice(first, first + len(piece))
            first += len(piece) + len(_ELLIPSIS)


def _locate(said: _Folded, words: slice, written: _Folded) -> list[tuple[int, int]]:
    """Offsets in the original of `written` where words of `said` stand, or their parts do."""
    whole = _locate_all(said, [words], written)
    if whole or _ELLIPSIS not in said.text[words]:
        return whole
    parts = [part for piece in said.parts(words) if (part := said.words(piece)) is not None]
    return _locate_all(said, parts, written)


def _locate_all(said: _Folded, parts: list[slice], written: _Folded) -> list[tuple[int, int]]:
    """Where the parts stand in order; empty where one does not."""
    places = []
    after = 0
    for part in parts:
        wanted = said.text[part]
        at = written.text.find(wanted, after)
        if at < 0:
            return []
        after = at + len(wanted)
        places.append((written.starts[at], written.ends[after - 1]))
    return places


def _fold(text: str) -> _Folded:
    """Bring a text into the form in which it is compared."""
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    in_word: list[bool] = []
    apostrophes: list[int] = []
    for start, end in _clusters(text):
        cluster = text[start:end]
        folded, word = _fold_cluster(cluster)
        if folded == " " and characters and characters[-1] == " ":
            ends[-1] = end
            continue
        if cluster[0] in _APOSTROPHES:
            apostrophes.append(len(characters))
        for character in folded:
            characters.append(character)
            starts.append(start)
            ends.append(end)
            in_word.append(word)
    for i in apostrophes:
        in_word[i] = 0 < i < len(in_word) - 1 and in_word[i - 1] and in_word[i + 1]
    return _fenced("".join(characters), starts, ends, in_word)


def _fenced(text: str, starts: list[int], ends: list[int], in_word: list[bool]) -> _Folded:
    """Shorten runs of dashes and of dots, and fence words."""
    fenced = _Folded("", [], [])
    characters: list[str] = []

    def put(character: str, start: int, end: int) -> None:
        characters.append(character)
        fenced.starts.append(start)
        fenced.ends.append(end)

    inside = False
    shortened = {run.start(): run.end() for run in _RUN.finditer(text)}
    i = 0
    while i < len(text):
        after = shortened.get(i, i + 1)
        word = in_word[i] and i not in shortened
        if inside and not word:
            put(_WORD_END, ends[i - 1], ends[i - 1])
        if word and not inside:
            put(_WORD_START, starts[i], starts[i])
        if i in shortened:
            put("-" if "-" in text[i:after] else _ELLIPSIS, starts[i], ends[after - 1])
        else:
            put(text[i], starts[i], ends[i])
        inside, i = word, after
    if inside:
        put(_WORD_END, ends[-1], ends[-1])
    return _Folded("".join(characters), fenced.starts, fenced.ends)


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Offsets of each character together with the marks on it."""
    start = 0
    for i in range(1, len(text)):
        if not _extends(text[i]):
            yield start, i
            start = i
    if text:
        yield start, len(text)


def _extends(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character) in ("Mn", "Mc", "Me")


@lru_cache(maxsize=4096)
def _fold_cluster(cluster: str) -> tuple[str, bool]:
    """The folded form of a cluster, empty where it is invisible, and whether it is in a word."""
    base = cluster[0]
    if base.isspace():
        return " ", False
    if base in _QUOTATION_MARKS:
        return "'", False
    if base == _MINUS_SIGN or unicodedata.category(base) == "Pd":
        return "-", False
    if base in _ELLIPSES:
        return _ELLIPSIS, False
    visible = "".join(c for c in cluster if unicodedata.category(c) not in ("Cc", "Cf"))
    decomposed = unicodedata.normalize("NFKD", _INVISIBLE.sub("", visible))
    # Some characters decompose to a space and more; the space is no white space of the text.
    folded = unicodedata.normalize("NFKD", decomposed.casefold()).replace(" ", "")
    return folded, base.isalnum() or any(character.isalnum() for character in folded)
