"""Weighted F1 on validation rows: by sets, and their mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from imhi.tasks import QUESTIONS, Question
from service.analysis.labels import LabelRead
from service.analysis.manifest import PromptStyle
from tests.training.sft.tiny import base, example, load, tokenizer
from training.sft.reads import LabelReads
from training.sft.watch import METRIC, Watch

STRESS, CAUSE = QUESTIONS["stress"], QUESTIONS["stress_cause"]


def test_scores_by_hand(monkeypatch) -> None:
    """Of four rows of one set three are read right, of one row of another none."""
    rows = [example(STRESS, row=row, post=f"Post {row}.", label=row % 2) for row in range(4)]
    rows.append(example(CAUSE, row=9, label=2))
    said = [0, 1, 0, 0, 5]

    def read(_: Any, wanted: Iterable[tuple[str, Question]]) -> Iterator[tuple[int, LabelRead]]:
        for index, (_, question) in reversed(list(enumerate(wanted))):
            chosen = question.labels[said[index]].id
            values = {label.id: -1.0 if label.id == chosen else -9.0 for label in question.labels}
            yield index, LabelRead(values, 1.0)

    monkeypatch.setattr(LabelReads, "read", read)
    watch = Watch(rows, tokenizer(), PromptStyle.BARE, batch_tokens=100)
    scores = watch.measure(None)
    # Label 0: precision 2/3, recall 1, F1 0.8; label 1: precision 1, recall 1/2, F1 2/3.
    expected = (2 * 0.8 + 2 * 2 / 3) / 4
    assert scores == pytest.approx({METRIC: expected / 2, rows[0].set: expected, rows[4].set: 0.0})


def test_a_model_that_says_one_label_is_scored_so(tmp_path) -> None:
    """The output layer's bias towards one token decides, whatever is asked."""
    import torch

    model = load(base(tmp_path / "base"))
    token = tokenizer()(f" {STRESS.labels[0].answer}")["input_ids"][0]
    model.lm_head.bias = torch.nn.Parameter(torch.zeros(len(tokenizer())))
    model.lm_head.bias.data[token] = 100.0
    rows = [example(STRESS, row=row, label=row % 2) for row in range(4)]
    watch = Watch(rows, tokenizer(), PromptStyle.BARE, batch_tokens=1000)
    assert watch.measure(model)[METRIC] == pytest.approx(1 / 3)
    right = Watch(rows[::2], tokenizer(), PromptStyle.BARE, batch_tokens=1000)
    assert right.measure(model)[METRIC] == 1.0
