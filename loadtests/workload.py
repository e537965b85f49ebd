"""Work of realistic size: posts as long as those of IMHI, of words written for this project.

`LENGTHS` says how long posts are, set by set, as counted on the released and raw train rows with
the embedded model's tokenizer. A workload draws a set, then a length from the lognormal through the
set's median and 95th percentile, and fills it with sentences of `posts.txt`. The same seed gives
the same posts; no two of a workload begin alike, so that no prefix cache helps by chance.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POSTS: tuple[str, ...] = tuple(
    Path(__file__).with_name("posts.txt").read_text(encoding="utf-8").splitlines()
)
"""32 posts of about 150 words, a line each, written for this project; none is a real person's."""

_SIGMAS = 1.6449  # standard deviations from the median to the 95th percentile


LENGTHS: Mapping[str, tuple[int, int]] = {
    "DR": (164, 808),
    "dreaddit": (97, 168),
    "T-SID": (36, 57),
    "SAD": (14, 29),
    "CAMS": (151, 821),
    "loneliness": (128, 313),
    "MultiWD": (132, 321),
    "IRF": (126, 320),
}
"""Set to the median and the 95th percentile; SWMH and CLP cannot be counted without their
agreements."""

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
        wanted = min(max(length(*LENGTHS[name], generator), _SHORTEST), _LONGEST)
        found.append(_filled(name, wanted, generator, count))
    generator.shuffle(found)
    return tuple(found)


def of_length(number: int, tokens: int, count: Count, *, seed: int = 0) -> tuple[Item, ...]:
    """Posts of one length."""
    generator = random.Random(f"length:{tokens}:{seed}")
    return tuple(_filled("", tokens, generator, count) for _ in range(number))


def length(median: int, high: int, generator: random.Random) -> int:
    """A length from the lognormal distribution through a median and a 95th percentile."""
    spread = math.log(high / median) / _SIGMAS
    return round(generator.lognormvariate(math.log(median), spread))


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
"""Of `POSTS`."""


def count_tokens(model: str) -> Count:
    """A function that counts a text's tokens, by the tokenizer of a directory or a hub id."""
    from transformers import AutoTokenizer

    return token_counter(AutoTokenizer.from_pretrained(model))


def token_counter(tokenizer: Any) -> Count:
    """The same by a tokenizer that is loaded."""
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])
