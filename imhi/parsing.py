"""From what a model wrote to a label and an explanation, without guessing.

The text is cut at "Reasoning:"; where a model left it out, after the first sentence. Only the
answer part, before the cut, is read for the label, in one of two ways: yes/no questions by the
word that opens a sentence, all others by the labels that the part names. Exactly one label must
come out of it; anything else is a `Problem`, which an evaluation counts rather than hides.

Released MentalLLaMA checkpoints often start with "Reasoning:" and name no label at all, and
IMHI's own rule scorer takes the "no" in "nothing" for a no: both are why this module is strict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from imhi.tasks import Label, Question


class Problem(StrEnum):
    """Why a response has no label."""

    NO_LABEL = "no_label"
    SEVERAL_LABELS = "several_labels"


@dataclass(frozen=True, slots=True)
class Response:
    """What was read from a model's text."""

    label: Label | None
    """The one label that the answer part names; None exactly where there is a problem."""
    explanation: str
    """What stands after the answer part, stripped.

    Where "Reasoning:" is missing and no label was found, the whole text.
    """
    problem: Problem | None


def parse_response(text: str, question: Question) -> Response:
    """Read a response to `question`, in the instruction or completion wording or a free variant.

    Case, whitespace, hyphens, a missing "Reasoning:" and usual spelling variants do not matter.
    """
    text = text.strip()
    marker = _MARKER.search(text)
    if marker:
        answer, explanation = text[: marker.start()], text[marker.end() :].strip()
    else:
        answer, explanation = _first_sentence(text)

    read = _read_yes_no if _is_yes_no(question) else _read_named
    label_ids = read(answer, question)
    if len(label_ids) == 1:
        return Response(question.label(label_ids.pop()), explanation, None)
    if label_ids:
        return Response(None, explanation, Problem.SEVERAL_LABELS)
    return Response(None, explanation if marker else text, Problem.NO_LABEL)


_MARKER = re.compile(r"\breasoning\s*:", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def _first_sentence(text: str) -> tuple[str, str]:
    first, *rest = _SENTENCE_END.split(text, maxsplit=1)
    return first, "".join(rest).strip()


_DASH = re.compile(r"[\u2014\u2015]|(?<=\s)[-\u2013]+(?=\s)")
_HYPHEN = re.compile(r"[-\u2010\u2011\u2013]")


def _normalise(text: str) -> str:
    """One kind of apostrophe and space, no hyphens, dashes as commas, "doesn't" as "does not"."""
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = _DASH.sub(", ", text)
    text = _HYPHEN.sub(" ", text)
    text = re.sub(r"(?<=\w)n't\b", " not", text, flags=re.IGNORECASE)
    return " ".join(text.split())


# --- yes/no questions ---------------------------------------------------------------------------

# "no" is an answer only before a pause or a new clause: not in "no one" or "no doubt".
_YES_OR_NO = (
    r"(yes\b|no\b(?="
    r"[\"'”*)\]]*\s?(?:[.,;:!?/]|$)"
    r"|\s(?:and|but|or)\s"
    r"|[\"'”*\s]+(?:the|this|that|there|it|they|he|she|i)\b))"
)
_LEAD_IN = r"(?:(?:the )?(?:answer|label)(?: to the question:? \".*?\")?(?: is)?\W+)?"
_OPENING = re.compile(rf"\W*{_LEAD_IN}{_YES_OR_NO}", re.IGNORECASE)
_FURTHER = re.compile(rf"\W+(?:(?:and|but|or)\W+)?{_YES_OR_NO}", re.IGNORECASE)


def _is_yes_no(question: Question) -> bool:
    return {label.id for label in question.labels} == {"yes", "no"}


def _read_yes_no(answer: str, question: Question) -> set[str]:
    """Ids of the labels that open a sentence of the answer, as the word or as the answer's clause.

    A sentence that says "Yes" and goes on with the clause of "No" gives both.
    """
    found: set[str] = set()
    for sentence in map(_normalise, _SENTENCE_END.split(answer)):
        opening = _OPENING.match(sentence)
        while opening:
            found.add(opening[1].casefold())
            sentence = sentence[opening.end() :]
            opening = _FURTHER.match(sentence)
        found.update(label.id for label in question.labels if _clause(label).match(sentence))
    return found


@cache
def _clause(label: Label) -> re.Pattern[str]:
    """The answer sentence without its "Yes, " or "No, " and its full stop."""
    clause = label.answer.partition(", ")[2].rstrip(".")
    return re.compile(rf"\W*{re.escape(clause)}\b", re.IGNORECASE)


# --- all other questions ------------------------------------------------------------------------

# What names a label beside its own name and completion. Within a question's set a label's
# distinctive word is enough, so that "work and relationships" is two labels and not one. A word
# inside another does not count: neither "homework" nor "working" is "work".
_SPELLINGS = {
    "suicide_or_self_harm": r"suicid(?:e|al)(?: or self harm)?(?: tendency| tendencies)?|self harm",
    "suicide": r"suicidal",
    "ptsd": r"post ?traumatic stress disorder",
    "bipolar_disorder": r"bipolar",
    "financial_problem": r"financial|finances",
    "family_issues": r"family",
    "social_relationships": r"relationships?",
    "health_issues": r"health",
    "emotion_turmoil": r"emotions? turmoil",
    "everyday_decision_making": r"decision making|everyday decisions?",
    "other": r"other stress cause|other cause|other(?=\W*$)",
    "bias_or_abuse": r"bias|(?<!drug )(?<!alcohol )(?<!substance )abuse",
    "jobs_and_career": r"jobs?|careers?",
    "medication": r"medications",
    "relationship": r"(?:social )?relationships",
}

# The label "none" is spelt by its task: no causes of depression are not no mental disorders. The
# phrase must not be narrowed by what follows, as in "no causes of depression related to work".
_NO = r"(?:no|not (?:show|have|contain|indicate|suggest)(?: any)?)(?: clear| specific| apparent)?"
_NARROWED = r"(?: symptoms)? (?:related|linked|of)\b"
_NONE_SPELLINGS = {
    "mental_disorder": rf"{_NO} mental disorders?(?: symptoms?)?\b(?!{_NARROWED})|none",
    "depression_cause": (
        rf"{_NO} (?:causes? of depression|depression causes?|causes?)\b(?!{_NARROWED})|none"
    ),
}

_PASSED_OVER = r"causes? of depression|depression causes?|no doubt"
_NEGATION = (
    r"no|not|cannot|nor|never|neither|nothing|without|rather than|instead of|unrelated to|lack of"
    r"|absence of|unlikely|unclear|whether"
)
_CONTRAST = (
    r"but|except|only|just|merely|other than|apart from|aside from|besides|however|although|though"
    r"|yet|instead"
)


def _read_named(answer: str, question: Question) -> set[str]:
    """Ids of the labels that the answer names outside the reach of a negation.

    A negation reaches to the next contrast ("not school but work") or the end of its sentence. The
    negative label negates too: "no mental disorders such as …" does not name what follows.
    """
    found: set[str] = set()
    negated = False
    for match in _mentions(question).finditer(_normalise(answer)):
        kind = match.lastgroup or ""
        if kind in {"negation", "release"}:
            negated = kind == "negation"
        elif kind.startswith("label_"):
            label = question.labels[int(kind.removeprefix("label_"))]
            if not negated:
                found.add(label.id)
            negated = negated or label.id == question.negative
    return found


@cache
def _mentions(question: Question) -> re.Pattern[str]:
    """What matters in an answer: labels (by place, as `label_0`), negations and their release."""
    labels = {
        label.id: rf"(?P<label_{place}>\b(?:{_spelling(label, question)})\b)"
        for place, label in enumerate(question.labels)
    }
    # Where several match at one place the first wins, so "none" ("no mental disorders") goes before
    # the negations, and what is passed over ("causes of depression") before the other labels.
    none = [labels.pop("none")] if "none" in labels else []
    return re.compile(
        "|".join(
            [
                *none,
                rf"\b(?:{_PASSED_OVER})\b",
                *labels.values(),
                rf"(?P<negation>\b(?:{_NEGATION})\b)",
                rf"(?P<release>\b(?:{_CONTRAST})\b|[.;!?](?=\s|$))",
            ]
        ),
        re.IGNORECASE,
    )


def _spelling(label: Label, question: Question) -> str:
    if label.id == "none":
        return _NONE_SPELLINGS[question.task]
    own = {label.name: None, label.completion.rstrip("."): None}  # an ordered set
    spellings = [re.escape(_normalise(text)) for text in own]
    if label.id in _SPELLINGS:
        spellings.append(_SPELLINGS[label.id])
    return "|".join(spellings)
