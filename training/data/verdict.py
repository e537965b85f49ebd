"""The label that an explanation ends on, where its last sentence says one plainly.

Explanations that were written to a given label sometimes argue for another. `verdict` reads the
last sentence by rules that would rather say nothing than be wrong:

- a question with named labels: the sentence speaks of the label, and
  `imhi.parsing.parse_response` reads one label in it;
- a yes/no question: the sentence puts the question's subject after a word of finding it ("suffering
  from stress", "risk of perceived burdensomeness"). With a denial shortly before that it says no;
  without any negation, hedge or contrast in the sentence it says yes.

The rules were written on English explanations of the benchmark's kind and are a heuristic, not a
measure of what an explanation means.
"""

# ruff: noqa: RUF001 - typographic quotation marks are meant

from __future__ import annotations

import re
from functools import cache

from imhi.parsing import parse_response
from imhi.tasks import Label, Question

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+")
_NAMES_LABEL = re.compile(r"\blabel\b", re.IGNORECASE)
_FOUND = (
    r"(?:suffer(?:s|ing)?\s+from|experiences|experiencing|struggl(?:es|ing)\s+with"
    r"|(?:indication|indicator|sign|symptom|evidence|risk|presence)s?\s+of"
    r"|indicative\s+of|existence\s+of|(?:show|exhibit|demonstrate|reflect|display)s?)"
)
_DENIAL = re.compile(
    r"\b(?:(?:does|do|is|are)(?:\s+not|n['’]t)|unlikely|there\s+(?:is|are)\s+no|absence\s+of"
    r"|shows?\s+no)\b[^,;]{0,40}$",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|no|none|nor|neither|never|cannot|without|unlikely|absen\w*|lacks?|lacking"
    r"|insufficient|unclear|difficult|whether|if)\b|n['’]t\b",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:may|might|could|would|possibl[ey]|potential(?:ly)?|some|while|although|though|however"
    r"|but|despite|rather|instead|only|alone|enough|other)\b",
    re.IGNORECASE,
)
_CONTRAST = re.compile(
    r"\b(?:while|although|though|however|but|despite|even|necessarily|only|rule\s+out)\b",
    re.IGNORECASE,
)


def verdict(explanation: str, question: Question) -> Label | None:
    """Return the label that the last sentence says, or None where it says none plainly."""
    sentence = _SENTENCE_END.split(explanation.strip())[-1]
    if {label.id for label in question.labels} != {"yes", "no"}:
        if not _NAMES_LABEL.search(sentence):
            return None
        return parse_response(sentence, question).label
    subject = _subject(question).search(sentence)
    if subject is None or _CONTRAST.search(sentence):
        return None
    if _DENIAL.search(sentence[: subject.start()]):
        return question.label("no")
    if _NEGATION.search(sentence) or _HEDGE.search(sentence):
        return None
    return question.label("yes")


@cache
def _subject(question: Question) -> re.Pattern[str]:
    kind, _, name = question.id.partition(".")
    name = (name or kind).replace("_", r"\s+")
    if kind == "wellness":
        name = rf"(?:{name}(?:\s+wellness)?\s+dimension|dimension\s+of\s+(?:the\s+)?{name})"
    return re.compile(rf"\b{_FOUND}\s+(?:[a-z-]+\s+){{0,3}}{name}\b", re.IGNORECASE)
