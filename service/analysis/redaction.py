"""Takes handles, e-mail addresses, phone numbers and links out of a post before the model sees it.

`redact` puts a placeholder where each stood and remembers both places; `Redacting` wraps whatever
analyses and leads every offset of its answer back to the post as it was sent, so evidence and cuts
mean there what they mean without redaction.

What identifies by its form is found by its form alone: names of people and places are not, and no
list of patterns finds every form. Own patterns, because what is maintained for this does not fit:
presidio-analyzer (2.2) needs spaCy, a model that is on no package registry, and a list of domains
from the network, and knows no handles; scrubadub's last release (2.0.1) is of 2023 and brings
scikit-learn and faker along. Both find addresses, numbers and links by patterns too.
"""

# ruff: noqa: RUF001 - a sentence may end with any kind of mark

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from imhi.tasks import Question
from service.analysis.interface import Analyzes
from service.analysis.manifest import Manifest
from service.analysis.types import Analysis, Answer, Completed, Cut, Event, Evidence, Options

# Every repetition that could be tried again from the next character on is bounded: time is linear.
_HOST = r"(?:[^\W_](?:[\w-]{0,62}[^\W_])?\.){1,8}[^\W\d_]{2,24}"
_TOP = "app|blog|ca|co|com|de|edu|eu|fr|gg|gov|info|io|ly|me|net|org|tv|uk|us|xyz"
_EMAIL = rf"(?<![\w.+-])[\w.+%-]{{1,64}}@{_HOST}\b"
_LINK = (
    r"\b(?:https?://|ftp://|www\.)[^\s<>\"]{1,2048}"
    rf"|(?<![\w@.-])(?:[^\W_](?:[\w-]{{0,62}}[^\W_])?\.){{1,8}}(?:{_TOP})\b(?:/[^\s<>\"]{{0,2048}})?"
)
_HANDLE = (
    r"(?<![\w@])@\w(?:[\w.-]{0,62}\w)?(?:@(?:[\w-]{1,63}\.){1,8}\w{2,24})?"  # also Mastodon's
    r"|(?<![\w/])/?u/[\w-]{3,32}"  # Reddit's
    r"|(?<!\w)[\w.]{2,32}#\d{4}(?!\w)"  # Discord's old ones
)
_PHONE = r"(?<![\w.+])(?:\+|00)?\(?\d(?:[ ()./-]{0,2}\d){6,14}(?!\w)"
_FOUND = re.compile(
    f"(?P<email>{_EMAIL})|(?P<link>{_LINK})|(?P<handle>{_HANDLE})|(?P<phone>{_PHONE})"
)
_SENTENCE_END = re.compile(r"[.,;:!?'\"’”)\]}…]+$")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.] ?\d{1,2}[-/.] ?\d{4}")
_NUMBER = re.compile(r"\d{1,3}(?:[ .]\d{3})+")
"""A large number with its thousands apart, which has no more reason to be a phone number."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """A post without what was taken out.

    Attributes:
        text: what the model may see.
        spans: of each placeholder, in order: its start and end in `text`, and the start and end of
            what it stands for in the post, in Unicode code points.
    """

    text: str
    spans: tuple[tuple[int, int, int, int], ...]

    def start(self, offset: int) -> int:
        """Where the character at `offset` stands in the post, or what its placeholder is for."""
        return self._original(offset, end=False)

    def end(self, offset: int) -> int:
        """Where what ends before `offset` ends in the post."""
        return self._original(offset, end=True)

    def _original(self, offset: int, *, end: bool) -> int:
        begins = bisect_right(self.spans, offset - end, key=lambda span: span[0])
        if not begins:
            return offset
        _, last, first_original, last_original = self.spans[begins - 1]
        if offset - end < last:
            return last_original if end else first_original
        return last_original + offset - last


def redact(text: str) -> Redacted:
    """Put `[email]`, `[link]`, `[handle]` or `[phone]` where one stood."""
    kept: list[str] = []
    spans: list[tuple[int, int, int, int]] = []
    at = length = 0
    for match in _FOUND.finditer(text):
        kind = match.lastgroup or ""
        found = match[0]
        if kind == "phone" and not _is_phone(found):
            continue
        if kind == "link":
            found = _SENTENCE_END.sub("", found)
        first, last = match.start(), match.start() + len(found)
        placeholder = f"[{kind}]"
        kept += (text[at:first], placeholder)
        length += first - at
        spans.append((length, length + len(placeholder), first, last))
        length += len(placeholder)
        at = last
    return Redacted("".join((*kept, text[at:])), tuple(spans))


def _is_phone(found: str) -> bool:
    """Whether digits are grouped as people write phone numbers, and not as a date or an amount."""
    if found.startswith(("+", "00", "(")):
        return True
    if _DATE.fullmatch(found) or _NUMBER.fullmatch(found):
        return False
    groups = re.findall(r"\d+", found)
    if len(groups) == 1:
        return found.startswith("0") or 10 <= len(found) <= 11
    return len(groups) <= 6 and min(map(len, groups[1:])) >= 2 and max(map(len, groups)) >= 3


class Redacting:
    """Analyses posts without what `redact` takes out; see `Analyzes`.

    Args:
        analyzer: who reads what is left.
    """

    def __init__(self, analyzer: Analyzes) -> None:
        self._analyzer = analyzer

    @property
    def model_name(self) -> str:
        """The name under which the model is served."""
        return self._analyzer.model_name

    @property
    def manifest(self) -> Manifest:
        """What the model says of itself."""
        return self._analyzer.manifest

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of LoRA adapters that `Options.adapter` may take."""
        return self._analyzer.adapters

    async def analyze(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> Analysis:
        """Answer `questions` on `text`; see `Analyzes.analyze`."""
        redacted = redact(text)
        analysis = await self._analyzer.analyze(redacted.text, questions, options, request_id)
        return _led_back(analysis, redacted, text)

    async def stream(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> AsyncGenerator[Event, None]:
        """The same, as events; see `Analyzes.stream`."""
        redacted = redact(text)
        events = self._analyzer.stream(redacted.text, questions, options, request_id)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Completed):
                    event = Completed(_led_back(event.analysis, redacted, text))
                yield event


def _led_back(analysis: Analysis, redacted: Redacted, text: str) -> Analysis:
    """The analysis with its offsets in the post as it was sent."""
    if not redacted.spans:
        return analysis
    answers = tuple(_answer(answer, redacted, text) for answer in analysis.answers)
    cuts = tuple(Cut(redacted.start(cut.start), redacted.end(cut.end)) for cut in analysis.cuts)
    return replace(analysis, answers=answers, cuts=cuts)


def _answer(answer: Answer, redacted: Redacted, text: str) -> Answer:
    if answer.explanation is None:
        return answer
    places = [
        (redacted.start(piece.start), redacted.end(piece.end))
        for piece in answer.explanation.evidence
    ]
    evidence = tuple(Evidence(text[first:last], first, last) for first, last in places)
    return replace(answer, explanation=replace(answer.explanation, evidence=evidence))
