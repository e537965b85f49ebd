"""Whether what an explanation quotes stands in the post.

An explanation and its post go in, the numbers of its quotes and of those that were found come out.
What a quote is, and when it stands in a post, is decided by `service.analysis.evidence`, as for the
answers that are served: case, spaces and kinds of marks do not matter, whole words do. Marks around
words that are no quote ("so-called" marks, the name of a label) count as a quote that was not
found: the share of quotes that stand in the post is a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.analysis.evidence import find_quotes


@dataclass(frozen=True, slots=True)
class Grounding:
    """The quotes of one explanation.

    Attributes:
        quotes: how many there are.
        found: how many of them stand in the post.
    """

    quotes: int
    found: int


def ground(explanation: str, post: str) -> Grounding:
    """Count the quotes of an explanation, and those that stand in the post."""
    quotes = find_quotes(explanation, post)
    return Grounding(len(quotes), sum(1 for quote in quotes if quote.evidence))
