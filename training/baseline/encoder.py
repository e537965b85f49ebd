"""An encoder that is trained, with a head for each question: the paper's discriminative models.

One encoder learns all sets together; a row's loss is that of its question's head. MentalBERT,
MentalRoBERTa, RoBERTa or any other that `AutoModel` loads; the vector of the first token is read,
or the mean of all where the encoder has none that stands for the text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from imhi.tasks import QUESTIONS
from training.baseline.answers import Answers, Progress, batches, by_question, to_read
from training.baseline.recipe import BaselineRecipe
from training.data.example import Example
from training.errors import DataError
from training.evaluate.pretrained import Kind, Pretrained, load_pretrained


def answer(
    recipe: BaselineRecipe, train: Sequence[Example], rows: Sequence[Example], progress: Progress
) -> Answers:
    """Train on `train` and answer `rows`.

    Raises:
        DataError: a question that is asked has no train rows.
        ModelFilesError: the encoder cannot be loaded.
    """
    import torch

    lacking = by_question(rows).keys() - by_question(train).keys()
    if lacking:
        raise DataError(
            f"The train split has no rows of {', '.join(sorted(lacking))}: prepare data with train "
            "rows of all sets, or measure fewer with --sets."
        )
    torch.manual_seed(recipe.seed)
    how = recipe.training
    encoder = load_pretrained(recipe.model or "", Kind.ENCODER, max_tokens=how.max_tokens)
    size = int(encoder.model.config.hidden_size)
    questions = sorted({row.question.id for row in train})
    heads = torch.nn.ModuleDict(
        {_key(name): torch.nn.Linear(size, len(QUESTIONS[name].labels)) for name in questions}
    ).to(encoder.device)
    _train(recipe, encoder, heads, train, progress)
    return _answer(recipe, encoder, heads, rows, progress)


def _train(
    recipe: BaselineRecipe,
    encoder: Pretrained,
    heads: Any,
    train: Sequence[Example],
    progress: Progress,
) -> None:
    import torch
    from transformers import get_linear_schedule_with_warmup

    how = recipe.training
    weights = _weights(train) if how.balance_sets else {}
    steps = max(1, math.ceil(len(train) / how.batch_size * how.epochs))
    parameters = [*encoder.model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=how.learning_rate, weight_decay=how.weight_decay)
    schedule = get_linear_schedule_with_warmup(optimizer, int(how.warmup * steps), steps)
    encoder.model.train()
    for batch in batches(train, how.batch_size, steps, recipe.seed, progress):
        losses = [
            torch.nn.functional.cross_entropy(scores.unsqueeze(0), target) * weights.get(row.set, 1)
            for row, scores, target in zip(
                batch, _scores(encoder, heads, batch), _targets(encoder, batch), strict=True
            )
        ]
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()


def _answer(
    recipe: BaselineRecipe,
    encoder: Pretrained,
    heads: Any,
    rows: Sequence[Example],
    progress: Progress,
) -> Answers:
    import torch

    encoder.model.eval()
    answers = {}
    ordered = sorted(rows, key=lambda row: len(row.post))  # little padding
    size = recipe.training.batch_size * 2
    with torch.inference_mode():
        for start in range(0, len(ordered), size):
            progress("Rows", start, len(rows))
            batch = ordered[start : start + size]
            for row, scores in zip(batch, _scores(encoder, heads, batch), strict=True):
                shares = torch.softmax(scores.float(), 0).tolist()
                labels = [label.id for label in row.question.labels]
                answers[row.id] = to_read(row.question, dict(zip(labels, shares, strict=True)))
    progress("Rows", len(rows), len(rows))
    return answers


def _scores(encoder: Pretrained, heads: Any, rows: Sequence[Example]) -> list[Any]:
    """One vector of scores a row, over its question's labels."""
    batch = encoder.tokenizer(
        [row.post for row in rows],
        padding=True,
        truncation=True,
        max_length=encoder.max_tokens,
        return_tensors="pt",
    ).to(encoder.device)
    hidden = encoder.model(**batch).last_hidden_state
    if encoder.tokenizer.cls_token_id is not None:
        vectors = hidden[:, 0]
    else:
        mask = batch["attention_mask"].unsqueeze(-1)
        vectors = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
    return [heads[_key(row.question.id)](vectors[place]) for place, row in enumerate(rows)]


def _targets(encoder: Pretrained, rows: Sequence[Example]) -> list[Any]:
    import torch

    return [
        torch.tensor(
            [[label.id for label in row.question.labels].index(row.label.id)], device=encoder.device
        )
        for row in rows
    ]


def _weights(train: Sequence[Example]) -> dict[str, float]:
    """Set to what its rows weigh: sets count by the square root of their size, the mean is 1."""
    counts = Counter(row.set for row in train)
    raw = {name: 1 / math.sqrt(count) for name, count in counts.items()}
    mean = sum(raw[name] * count for name, count in counts.items()) / len(train)
    return {name: value / mean for name, value in raw.items()}


def _key(question: str) -> str:
    return question.replace(".", "_")  # a module's name may hold no dot
