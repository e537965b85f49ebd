"""Label reads with a transformers model: what the service reads through vLLM, while training.

`LabelReads` lays out each post once with all its questions as branches, runs the model, and reads
the tokens by which answers part, through the service's own `LabelTrie`. Where the attention takes
no mask, every question has its own copy of the post.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imhi.tasks import QUESTIONS, Question
from service.analysis.labels import LabelRead, LabelTrie
from service.analysis.manifest import PromptStyle
from service.analysis.prompt import PromptEncoder
from service.analysis.truncation import fit
from service.analysis.types import Truncation
from training.sft.collate import COLUMNS, Collator
from training.sft.encoding import Branch, Tree
from training.sft.layout import Layout, lay_out
from training.sft.recipe import MASKED

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class _Asked:
    question: Question
    tokens: tuple[int, ...]
    trie: LabelTrie


_Wanted = tuple[Tree, Sequence[tuple[int, _Asked]]]
"""A post's tree, and whose branches these are: index and question."""


class LabelReads:
    """Reads labels with a model in this process.

    Args:
        model: a causal language model of transformers with `add_sparse_head`, wrapped or not; it is
            put into evaluation mode while read.
        tokenizer: its tokenizer.
        style: how queries are put before it.
        max_tokens: longest prompt; the middle of a longer post is left out.
        batch_tokens: most tokens a batch, padding included.
        attention: the model's implementation of attention.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        style: PromptStyle,
        *,
        max_tokens: int = 2048,
        batch_tokens: int = 4096,
        attention: str = "sdpa",
    ) -> None:
        self._model = model
        self._encoder = PromptEncoder(tokenizer, style)
        self._collator = Collator(tokenizer.pad_token_id or 0, attention=attention)
        self._layout = Layout.SHARED if attention in MASKED else Layout.PADDED
        self._max_tokens = max_tokens
        self._batch_tokens = batch_tokens
        self._asked: dict[str, _Asked] = {}
        for question in QUESTIONS.values():
            tail = self._encoder.tail(question)
            trie = LabelTrie.build(question, tail.continuations)
            self._asked[question.id] = _Asked(question, tail.tokens, trie)

    def read(self, wanted: Iterable[tuple[str, Question]]) -> Iterator[tuple[int, LabelRead]]:
        """Read each post's question.

        Args:
            wanted: posts and questions, in any order.

        Yields:
            Index in `wanted` and its read; every index once, like lengths together.
        """
        posts: dict[str, list[tuple[int, _Asked]]] = {}
        for index, (post, question) in enumerate(wanted):
            posts.setdefault(post, []).append((index, self._asked[question.id]))
        trees = [
            (self._tree(post, [asked for _, asked in members]), members)
            for post, members in posts.items()
        ]
        trees.sort(key=lambda item: item[0].length)
        for group in self._batches(trees):
            yield from self._read_batch(group)

    def _tree(self, post: str, members: Sequence[_Asked]) -> Tree:
        """The post with a branch for every node of every question."""
        branches = []
        for asked in members:
            for node in asked.trie.branches:
                tokens = (*asked.tokens, *node.path)
                branches.append(Branch("", tokens, (0.0,) * len(tokens)))
        room = self._max_tokens - max(len(branch.tokens) for branch in branches)
        fitted = fit(post, Truncation.MIDDLE, room, lambda text: len(self._encoder.shared(text)))
        return Tree(self._encoder.shared(fitted.text), tuple(branches))

    def _batches(self, trees: Sequence[_Wanted]) -> Iterator[list[_Wanted]]:
        group: list[_Wanted] = []
        for item in trees:
            if group and (len(group) + 1) * item[0].length > self._batch_tokens:
                yield group
                group = []
            group.append(item)
        if group:
            yield group

    def _read_batch(self, group: Sequence[_Wanted]) -> Iterator[tuple[int, LabelRead]]:
        rows = lay_out([tree for tree, _ in group], self._layout, self._max_tokens)
        batch = self._collator([{name: getattr(row, name) for name in COLUMNS} for row in rows])
        ends: list[tuple[int, int]] = []  # row and place where each branch ends
        end = 0
        for number, (tree, _) in enumerate(group):
            place = len(tree.shared)
            for branch in tree.branches:
                place += len(branch.tokens)
                end += len(tree.shared) + len(branch.tokens)
                shared = self._layout is Layout.SHARED  # otherwise the batch is one row
                ends.append((number, place - 1) if shared else (0, end - 1))
        logprobs = iter(self._log_probabilities(batch, ends))
        for _, members in group:
            for index, asked in members:
                nodes = [
                    [float(row[child]) for child in node.children]
                    for node, row in zip(asked.trie.branches, logprobs, strict=False)
                ]
                yield index, asked.trie.read(nodes)

    def _log_probabilities(
        self, batch: Mapping[str, torch.Tensor], ends: Sequence[tuple[int, int]]
    ) -> torch.Tensor:
        """Log-probabilities of the next token over the vocabulary, a row for each place."""
        import torch

        was_training = self._model.training
        self._model.eval()
        device = next(self._model.parameters()).device
        read = {
            name: batch[name].to(device)
            for name in ("input_ids", "position_ids", "attention_mask")
            if name in batch
        }
        try:
            with torch.inference_mode():
                rows, columns = zip(*ends, strict=True)
                logits = self._model(**read, places=(list(rows), list(columns)))
                return torch.log_softmax(logits, dim=-1).cpu()
        finally:
            self._model.train(was_training)
