"""Finds the examples that ask the same question of the same post.

Posts are the same by `post_key`, or where one is the beginning of the other: some long posts were
cut when the instruction wording was made, and stand whole elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from training.data.example import Example

_HEAD = 200  # characters; shorter posts were not cut


class SamePosts:
    """Examples by post and question."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self._by_key: dict[tuple[str, str], list[Example]] = defaultdict(list)
        self._by_head: dict[tuple[str, str], list[Example]] = defaultdict(list)
        for example in examples:
            self._by_key[example.post_key, example.question.id].append(example)
            if len(example.post) >= _HEAD:
                self._by_head[_head(example)].append(example)

    def same_row(self, example: Example) -> list[Example]:
        """The examples with this one's post and question, in the order given."""
        same = self._by_key.get((example.post_key, example.question.id))
        if same:
            return same
        return [
            other
            for other in self._by_head.get(_head(example), [])
            if _begins(example.post.rstrip(), other.post.rstrip())
        ]


def _head(example: Example) -> tuple[str, str]:
    return example.post[:_HEAD], example.question.id


def _begins(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
