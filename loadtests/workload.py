"""Work of realistic size: posts as long as those of IMHI, of words written for this project.

`LENGTHS` says how long posts are, set by set, as counted on the released and raw train rows with
the embedded model's tokenizer. A workload draws a set, then a length from the lognormal through the
set's median and 95th percentile, and fills it with sentences of `loadtests.posts`. The same seed
gives the same posts; no two of a workload begin alike, so that no prefix cache helps by chance.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from loadtests.posts import POSTS

_SIGMAS = 1.6449  # standard deviations from the median to the 95th percentile


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long texts are, in tokens.

    Attributes:
        median: half of them are shorter.
        high: the 95th percentile.
    """

    median: int
    high: int

    def drawn(self, generator: random.Random) -> int:
        """A length from the lognormal distribution through both."""
        spread = math.log(self.high / self.median) / _SIGMAS
        return round(generator.lognormvariate(math.log(self.median), spread))


LENGTHS: Mapping[str, Lengths] = MappingProxyType(
    {
        "DR": Lengths(164, 808),
        "dreaddit": Lengths(97, 168),
        "T-SID": Lengths(36, 57),
        "SAD": Lengths(14, 29),
        "CAMS": Lengths(151, 821),
        "loneliness": Lengths(128, 313),
        "MultiWD": Lengths(132, 321),
        "IRF": Lengths(126, 320),
    }
)
"""By set; SWMH and CLP cannot be counted without their agreements."""

_SHORTEST, _LONGEST = 5, 1600

Count = Callable[[str], int]
"""Tokens of a text."""


@dataclass(frozen=True, slots=True)
class Item:
    """One post of a workload.

    Attributes:
        set: whose lengths it was drawn from; "" for a given length.
        post: the text.
        tokens: how many it has.
    """

    set: str
    post: str
    tokens: int


def mixed(number: int, count: Count, *, seed: int = 0) -> tuple[Item, ...]:
    """Posts of all sets, each set as often as the others."""
    generator = random.Random(f"mixed:{seed}")
    names = list(LENGTHS)
    found = []
    for place in range(number):
        name = names[place % len(names)]
        wanted = min(max(LENGTHS[name].drawn(generator), _SHORTEST), _LONGEST)
        found.append(_filled(name, wanted, generator, count))
    generator.shuffle(found)
    return tuple(found)


def of_length(number: int, tokens: int, count: Count, *, seed: int = 0) -> tuple[Item, ...]:
    """Posts of one length."""
    generator = random.Random(f"length:{tokens}:{seed}")
    return tuple(_filled("", tokens, generator, count) for _ in range(number))


def _filled(name: str, tokens: int, generator: random.Random, count: Count) -> Item:
    """Sentences at random until the length is reached, then cut to it by words."""
    words: list[str] = []
    counted = 0
    while counted < tokens:
        sentence = generator.choice(SENTENCES)
        words += sentence.split()
        counted += count(" " + sentence)
    low, high = 1, len(words)
    while low < high:  # the most words that fit; a word more is a token more, or several
        middle = (low + high + 1) // 2
        if count(" ".join(words[:middle])) <= tokens:
            low = middle
        else:
            high = middle - 1
    post = " ".join(words[:low])
    return Item(name, post, count(post))


def _sentences(posts: Sequence[str]) -> tuple[str, ...]:
    parts = (part for post in posts for part in re.split(r"(?<=[.!?])\s+", post))
    return tuple(part for part in parts if len(part.split()) > 2)


SENTENCES = _sentences(POSTS)
"""Of `loadtests.posts`, each once."""
