"""Weighted F1 on validation rows while a model is trained, by label reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.analysis.manifest import PromptStyle
from training.data.example import Example
from training.sft.reads import LabelReads

METRIC = "mean_weighted_f1"
"""What the best checkpoint is chosen by, and training stopped early."""


class Watch:
    """Reads the labels of validation rows with the model as it stands.

    Args:
        examples: validation rows.
        tokenizer: the model's.
        style: the prompt style that is trained.
        batch_tokens: most tokens of one forward pass.
        attention: the model's implementation of attention.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: Any,
        style: PromptStyle,
        *,
        batch_tokens: int,
        attention: str = "sdpa",
    ) -> None:
        self._examples = examples
        self._tokenizer = tokenizer
        self._style = style
        self._batch_tokens = batch_tokens
        self._attention = attention

    def measure(self, model: Any) -> Mapping[str, float]:
        """Weighted F1 of each set and their mean, from 0 to 1.

        Every process of a distributed run reads all rows: a model that is sharded has to run the
        same batches everywhere.

        Args:
            model: with `training.sft.losses.add_sparse_head`.
        """
        from sklearn.metrics import f1_score

        reads = LabelReads(
            model,
            self._tokenizer,
            self._style,
            batch_tokens=self._batch_tokens,
            attention=self._attention,
        )
        wanted = [(example.post, example.question) for example in self._examples]
        read: dict[int, str] = {}
        for index, labels in reads.read(wanted):
            probabilities = labels.log_probabilities
            read[index] = max(probabilities, key=probabilities.__getitem__)
        by_set: dict[str, tuple[list[str], list[str]]] = {}
        for index, example in enumerate(self._examples):
            truth, said = by_set.setdefault(example.set, ([], []))
            truth.append(example.label.id)
            said.append(read[index])
        scores = {
            name: float(f1_score(truth, said, average="weighted", zero_division=0))
            for name, (truth, said) in by_set.items()
        }
        return {METRIC: sum(scores.values()) / len(scores), **scores}
