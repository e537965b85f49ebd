"""From examples to tokens: what a model reads, what it should write, and what each token counts.

All examples on one post become one `Tree`: the post's tokens, shared, and a branch an example with
its question, its answer sentence and, where there is one, its explanation. Tokens are made by the
service's own `PromptEncoder`, so a model is trained on exactly the prompts that it will be served
with; `training.sft.layout` lays trees out as rows.

The loss of an example is

    answer_weight * (negative log-likelihood of the answer sentence)
    + (1 - answer_weight) * (mean negative log-likelihood a token of the explanation)

so that the one token that decides a label is not lost among the hundred that explain it. A
label-only example has the first term alone. Without an answer weight every token counts alike, as
in the paper.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imhi.tasks import QUESTIONS
from imhi.wording import REASONING
from service.analysis.labels import LabelTrie
from service.analysis.prompt import PromptEncoder, Tail
from service.analysis.truncation import Fitted, fit
from service.analysis.types import Truncation
from service.errors import TextTooLongError
from training.data.example import Example


@dataclass(frozen=True, slots=True)
class Branch:
    """One example's way on from its post.

    Attributes:
        example: the example's id.
        tokens: question, answer and explanation.
        weights: what each token counts in the loss; 0 for what is only read.
        weight: what the whole example counts beside others.
    """

    example: str
    tokens: tuple[int, ...]
    weights: tuple[float, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Tree:
    """A post's tokens and a branch for each example on it.

    Attributes:
        shared: tokens from the start to `Question:`; read, not trained on unless `shared_weights`.
        branches: at least one.
        shared_weights: what each shared token counts; empty where none does.
    """

    shared: tuple[int, ...]
    branches: tuple[Branch, ...]
    shared_weights: tuple[float, ...] = ()

    @property
    def length(self) -> int:
        """Tokens of the tree when its post stands there once."""
        return len(self.shared) + sum(len(branch.tokens) for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Supervision:
    """What the loss is taken on; see the module's formula.

    Attributes:
        answer_weight: between 0 and 1, or None: every token of a response counts alike.
        explanation_weight: a further factor on explanations.
        by_example: without an answer weight, whether a response's tokens count 1 together, however
            many they are, or 1 each.
        whole_sentence: whether the answer sentence counts to its end, or only up to the last token
            by which its label parts from others.
        full_text: whether post and question count too, as in plain autoregressive training.
    """

    answer_weight: float | None = 0.5
    explanation_weight: float = 1.0
    by_example: bool = True
    whole_sentence: bool = True
    full_text: bool = False


@dataclass(slots=True)
class EncodingReport:
    """What encoding did, in counts.

    Attributes:
        examples: encoded examples, by set; those left out are not among them.
        explained: how many of them train their explanation, by set.
        cut: ids of examples whose post was cut to fit.
        left_out: ids of examples that do not fit however their post is cut.
        supervised: tokens that count.
        tokens: all tokens, each post counted once.
    """

    examples: dict[str, int] = field(default_factory=dict)
    explained: dict[str, int] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    supervised: int = 0
    tokens: int = 0


class TreeEncoder:
    """Makes trees with one model's tokenizer.

    Args:
        tokenizer: the model's own.
        encoder: prompts in the style that the model will be served with.
        supervision: what counts.
        max_tokens: most tokens of post, question and response together; what is cut is the post.
        truncation: which part of a post that does not fit is kept.

    Raises:
        ModelError: a question's labels cannot be told apart in the model's tokens.
    """

    def __init__(
        self,
        tokenizer: Any,
        encoder: PromptEncoder,
        supervision: Supervision,
        max_tokens: int,
        truncation: Truncation = Truncation.MIDDLE,
    ) -> None:
        self._encoder = encoder
        self._eos = tokenizer.eos_token_id
        self._supervision = supervision
        self._max_tokens = max_tokens
        self._truncation = truncation
        self._tails: dict[str, Tail] = {}
        self._parted: dict[tuple[str, str], int] = {}  # tokens by which a label is told apart
        for question in QUESTIONS.values():
            tail = encoder.tail(question)
            self._tails[question.id] = tail
            trie = LabelTrie.build(question, tail.continuations)
            for label, way in trie.ways.items():
                node, _ = way[-1]
                self._parted[question.id, label] = 1 + len(trie.branches[node].path)

    def encode(
        self,
        examples: Iterable[Example],
        *,
        weights: Mapping[str, float] | None = None,
        explained: frozenset[str] | None = None,
        report: EncodingReport | None = None,
    ) -> tuple[list[Tree], EncodingReport]:
        """Encode examples, those on one post together.

        Args:
            examples: in the order in which their posts' trees come out.
            weights: example id to what it counts; 1 for one not named.
            explained: ids of the examples whose explanation is trained on; None for all that have
                one.
            report: of earlier calls, which is added to; None begins one.

        Returns:
            The trees, and what was done. Posts are the same only where their text is.
        """
        report = report if report is not None else EncodingReport()
        posts: dict[str, list[Example]] = {}
        for example in examples:
            posts.setdefault(example.post, []).append(example)
        trees = []
        for post, members in posts.items():
            tree = self._tree(post, members, weights or {}, explained, report)
            if tree is not None:
                trees.append(tree)
                report.tokens += tree.length
                report.supervised += sum(
                    weight > 0 for branch in tree.branches for weight in branch.weights
                ) + sum(weight > 0 for weight in tree.shared_weights)
        return trees, report

    def _tree(
        self,
        post: str,
        members: Sequence[Example],
        weights: Mapping[str, float],
        explained: frozenset[str] | None,
        report: EncodingReport,
    ) -> Tree | None:
        branches: list[tuple[Branch, Example, bool]] = []
        for example in members:
            wanted = example.explanation is not None and (
                explained is None or example.id in explained
            )
            branch = self._branch(example, weights.get(example.id, 1.0), wanted)
            branches.append((branch, example, wanted))
        fitted = self._fitted(post, branches, report)
        if fitted is None:
            return None
        for _, example, wanted in branches:
            report.examples[example.set] = report.examples.get(example.set, 0) + 1
            report.explained[example.set] = report.explained.get(example.set, 0) + wanted
        if fitted.cuts:
            report.cut.extend(example.id for _, example, _ in branches)
        shared = self._encoder.shared(fitted.text)
        counts = (1.0,) * len(shared) if self._supervision.full_text else ()
        return Tree(shared, tuple(branch for branch, _, _ in branches), counts)

    def _fitted(
        self, post: str, branches: list[tuple[Branch, Example, bool]], report: EncodingReport
    ) -> Fitted | None:
        """The post, cut to fit the longest branch; a branch that leaves no room is taken out."""
        while branches:
            longest = max(branches, key=lambda item: len(item[0].tokens))
            room = self._max_tokens - len(longest[0].tokens)
            try:
                return fit(
                    post, self._truncation, room, lambda text: len(self._encoder.shared(text))
                )
            except TextTooLongError:
                branches.remove(longest)
                report.left_out.append(longest[1].id)
        return None

    def _branch(self, example: Example, weight: float, explained: bool) -> Branch:
        tail = self._tails[example.question.id]
        sentence = tail.sentences[example.label.id]
        response: tuple[int, ...] = ()
        if explained and example.explanation is not None:
            # Told to go on after " Reasoning:", as the service does.
            continuation = tail.continuations[example.label.id]
            sentence, response = continuation[: len(sentence)], continuation[len(sentence) :]
            response += self._encoder.following(REASONING, f" {example.explanation.strip()}")
            response += (self._eos,)
        rule = self._supervision
        if rule.full_text:
            counts = (1.0,) * (len(tail.tokens) + len(sentence) + len(response))
            return Branch(example.id, (*tail.tokens, *sentence, *response), counts, weight)
        parted = len(sentence)
        if not rule.whole_sentence:
            parted = min(parted, self._parted[example.question.id, example.label.id])
        if rule.answer_weight is None:
            answer = 1 / (parted + len(response)) if rule.by_example else 1.0
            reason = answer * rule.explanation_weight
        else:
            answer = rule.answer_weight
            reason = (1 - answer) * rule.explanation_weight / max(1, len(response))
        counts = (
            (0.0,) * len(tail.tokens)
            + tuple(answer if place < parted else 0.0 for place in range(len(sentence)))
            + (reason,) * len(response)
        )
        return Branch(example.id, (*tail.tokens, *sentence, *response), counts, weight)


def chosen(examples: Iterable[Example], share: Callable[[str], float], seed: int) -> frozenset[str]:
    """Ids of the explained examples whose explanation is trained on: of each set its share.

    The choice depends on the id and the seed alone, so that more rows never change it.
    """
    explained = (example for example in examples if example.explanation is not None)
    return frozenset(one.id for one in explained if _fraction(f"{seed}:{one.id}") < share(one.set))


def _fraction(name: str) -> float:
    """A number from 0 to 1, spread evenly over names."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
