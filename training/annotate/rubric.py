"""What people rate an explanation by: two rubrics, each of four criteria from 0 to 3.

`imhi` is that of the MentalLLaMA paper (arXiv 2309.13567, section 3.4), `predecessor` that of the
paper before it (arXiv 2304.03347, section 3.3). What each criterion is follows the papers; what
stands at each number is this project's wording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SCALE = (0, 1, 2, 3)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing to rate.

    Attributes:
        id: name of its column.
        title: the same for people.
        question: what to ask oneself.
        levels: what each number of `SCALE` means.
    """

    id: str
    title: str
    question: str
    levels: tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Rubric:
    """A set of criteria that is rated together.

    Attributes:
        id: its name.
        source: the paper.
        criteria: in the order in which they are rated.
    """

    id: str
    source: str
    criteria: tuple[Criterion, ...]


_OVERALL = Criterion(
    "overall",
    "Overall",
    "All in all, how good is the explanation for somebody who reads it beside the post?",
    (
        "Of no use, or misleading.",
        "Of some use, with serious faults.",
        "Good, with smaller faults.",
        "As an expert would have written it.",
    ),
)

_RELIABILITY = Criterion(
    "reliability",
    "Reliability",
    "Can what it says be trusted: does it follow from the post, and does it support the label?",
    (
        "Wrong or made up throughout.",
        "More wrong than right, or the label does not follow.",
        "Mostly right, with small inaccuracies.",
        "Right, and the label follows from it.",
    ),
)

RUBRICS: Mapping[str, Rubric] = {
    rubric.id: rubric
    for rubric in (
        Rubric(
            "imhi",
            "Yang et al., WWW 2024, arXiv 2309.13567",
            (
                Criterion(
                    "consistency",
                    "Consistency",
                    "Does the text hold together, and do all its parts speak for the given label?",
                    (
                        "It contradicts itself or the label.",
                        "Some of it supports the label, some of it speaks against it.",
                        "It supports the label, with a part that does not belong.",
                        "Every part of it supports the label.",
                    ),
                ),
                _RELIABILITY,
                Criterion(
                    "professionality",
                    "Professionality",
                    "Is the reasoning sound from the point of view of psychology?",
                    (
                        "No psychological reasoning, or none that is sound.",
                        "Names a thing or two without saying what it means.",
                        "Sound, if not complete.",
                        "What an expert in psychology would point to, and why.",
                    ),
                ),
                _OVERALL,
            ),
        ),
        Rubric(
            "predecessor",
            "Yang et al., EMNLP 2023, arXiv 2304.03347",
            (
                Criterion(
                    "fluency",
                    "Fluency",
                    "Is it coherent and easy to read?",
                    (
                        "Cannot be understood.",
                        "Hard to read, with many errors.",
                        "Easy to read, with small errors.",
                        "Reads as if well written by a person.",
                    ),
                ),
                Criterion(
                    "completeness",
                    "Completeness",
                    "Does it cover all in the post that matters for the label?",
                    (
                        "Covers nothing that matters.",
                        "Misses most of what matters.",
                        "Covers most of it.",
                        "Covers all of it.",
                    ),
                ),
                _RELIABILITY,
                _OVERALL,
            ),
        ),
    )
}
"""Rubric id to rubric."""

NOTICE = (
    "You will read posts by people who may be in distress. Take breaks, stop whenever you want to, "
    "and do not read on what is too much. Helplines by country: findahelpline.com. You rate a text "
    "about a post, not the person who wrote the post: nothing here is a diagnosis. Do not copy, "
    "search for or pass on any of the posts."
)
"""What every annotator reads first."""
