"""The answers of a question as a trie over tokens, and exact label distributions read from it.

There are two distributions, and one read a node for both.

*Branches*, what the service serves: at every node where answers part, a read gives the
log-probabilities of the tokens by which they part. A label's probability is the product, along its
sentence, of each token's probability relative to the tokens that the answers allow there: the
distribution of the model's answer when it may only give one of the question's answer sentences. A
token without an alternative has probability 1, so only branching nodes are read, mostly one a
question.

*Sentences*, for research: the likelihood of each full answer sentence, relative to the sum over the
question's sentences. Every token of every sentence is read, some twenty reads a yes/no question. On
a model trained on the sentences both agree, since what follows a label's first tokens is certain.

The *label mass* is the sum over labels of the product of the probabilities that were read, relative
to the full vocabulary: how much of the model's probability the labels hold where they are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imhi.tasks import Question
from service.analysis.types import Scoring
from service.errors import ModelError


@dataclass(frozen=True, slots=True)
class Branch:
    """A node that is read.

    Attributes:
        path: tokens from the end of the prompt to the node.
        children: the tokens that follow, one a branch.
    """

    path: tuple[int, ...]
    children: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LabelRead:
    """What one question's reads say of its labels, before calibration.

    Attributes:
        log_probabilities: label id to natural-log probability; the probabilities sum to 1.
        label_mass: from 0 to 1.
    """

    log_probabilities: Mapping[str, float]
    label_mass: float


@dataclass(frozen=True, slots=True)
class LabelTrie:
    """The nodes of a question that are read, and each label's way through them.

    Attributes:
        branches: nodes to read, parents before children.
        ways: label id to the (branch index, child index) pairs on its path.
        scoring: which distribution the reads are made into.
    """

    branches: tuple[Branch, ...]
    ways: Mapping[str, tuple[tuple[int, int], ...]]
    scoring: Scoring = Scoring.BRANCHES

    @classmethod
    def build(
        cls,
        question: Question,
        answers: Mapping[str, Sequence[int]],
        scoring: Scoring = Scoring.BRANCHES,
    ) -> LabelTrie:
        """Build the trie from the tokens of each label's answer.

        Raises:
            ModelError: two labels cannot be told apart in this model's tokens.
        """
        branches: list[Branch] = []
        ways: dict[str, list[tuple[int, int]]] = {label: [] for label in answers}
        pending = [(0, list(answers))]
        while pending:
            depth, group = pending.pop(0)
            if len(group) > 1:
                _check_apart(question, group, answers, depth)
            elif scoring is Scoring.BRANCHES or len(answers[group[0]]) == depth:
                continue
            children: dict[int, list[str]] = {}
            for label in group:
                children.setdefault(answers[label][depth], []).append(label)
            if len(children) > 1 or scoring is Scoring.SENTENCES:
                for child, members in enumerate(children.values()):
                    for label in members:
                        ways[label].append((len(branches), child))
                branches.append(Branch(tuple(answers[group[0]][:depth]), tuple(children)))
            pending.extend((depth + 1, members) for members in children.values())
        return cls(tuple(branches), {label: tuple(way) for label, way in ways.items()}, scoring)

    def read(self, logprobs: Sequence[Sequence[float]]) -> LabelRead:
        """Combine the reads of all branches.

        Args:
            logprobs: for each branch, in order, the full-vocabulary log-probability of each child.
        """
        joint = {
            label: math.fsum(logprobs[branch][child] for branch, child in way)
            for label, way in self.ways.items()
        }
        mass = min(1.0, math.fsum(math.exp(value) for value in joint.values()))
        if self.scoring is Scoring.SENTENCES:
            relative = dict(zip(joint, _relative(list(joint.values())), strict=True))
        else:
            nodes = [_relative(node) for node in logprobs]
            relative = {
                label: math.fsum(nodes[branch][child] for branch, child in way)
                for label, way in self.ways.items()
            }
        return LabelRead(relative, mass)


def _check_apart(
    question: Question, group: Sequence[str], answers: Mapping[str, Sequence[int]], depth: int
) -> None:
    """Raise where an answer ends although others go on, or end with it."""
    ended = next((label for label in group if len(answers[label]) == depth), None)
    if ended is None:
        return
    other = next(label for label in group if label != ended)
    raise ModelError(
        f"The labels `{ended}` and `{other}` of question `{question.id}` cannot be told apart: in "
        "this model's tokens one answer is the other or its beginning. Use a tokenizer that keeps "
        "them apart."
    )


def _relative(logprobs: Sequence[float]) -> list[float]:
    """Log-probabilities relative to their sum; uniform where all of them are nothing."""
    top = max(logprobs)
    if top == -math.inf:
        return [-math.log(len(logprobs))] * len(logprobs)
    total = top + math.log(math.fsum(math.exp(value - top) for value in logprobs))
    return [value - total for value in logprobs]
