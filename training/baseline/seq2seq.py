"""BART or T5 on the completion wording, as the paper's MentalBART and MentalT5."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from imhi.parsing import parse_response
from imhi.wording import render_completion_answer, render_completion_query
from training.baseline.answers import Answers, Progress, batches
from training.baseline.recipe import BaselineRecipe
from training.data.example import Example
from training.evaluate.pretrained import Kind, Pretrained, load_pretrained
from training.evaluate.records import FreeForm

_ANSWER_TOKENS = 256


def answer(
    recipe: BaselineRecipe, train: Sequence[Example], rows: Sequence[Example], progress: Progress
) -> Answers:
    """Train on `train` and let the model write on `rows`.

    Raises:
        ModelFilesError: the model cannot be loaded.
    """
    import torch

    torch.manual_seed(recipe.seed)
    how = recipe.training
    model = load_pretrained(recipe.model or "", Kind.SEQ2SEQ, max_tokens=how.max_tokens)
    _train(recipe, model, train, progress)
    model.model.eval()
    answers = {}
    room = min(_ANSWER_TOKENS, model.max_tokens - 2)
    ordered = sorted(rows, key=lambda row: len(row.post))
    for start in range(0, len(ordered), how.batch_size):
        progress("Rows", start, len(rows))
        batch = ordered[start : start + how.batch_size]
        with torch.inference_mode():
            written = model.model.generate(
                **_encoded(model, [_query(row) for row in batch]),
                max_new_tokens=room,
                do_sample=False,
                num_beams=1,
            )
        for row, tokens in zip(batch, written, strict=True):
            answers[row.id] = _read(model, row, tokens.tolist(), room)
    progress("Rows", len(rows), len(rows))
    return answers


def _train(
    recipe: BaselineRecipe, model: Pretrained, train: Sequence[Example], progress: Progress
) -> None:
    import torch
    from transformers import get_linear_schedule_with_warmup

    how = recipe.training
    steps = max(1, ceil(len(train) / how.batch_size * how.epochs))
    optimizer = torch.optim.AdamW(
        model.model.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay
    )
    schedule = get_linear_schedule_with_warmup(optimizer, int(how.warmup * steps), steps)
    model.model.train()
    for batch in batches(train, how.batch_size, steps, recipe.seed, progress):
        targets = _encoded(model, [_target(row, explained=recipe.explained) for row in batch])
        labels = targets["input_ids"].masked_fill(targets["attention_mask"] == 0, -100)
        loss = model.model(**_encoded(model, [_query(row) for row in batch]), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def _encoded(model: Pretrained, texts: Sequence[str]) -> Any:
    return model.tokenizer(
        list(texts),
        padding=True,
        truncation=True,
        max_length=model.max_tokens,
        return_tensors="pt",
    ).to(model.device)


def _query(row: Example) -> str:
    return render_completion_query(row.post, row.question)


def _target(row: Example, *, explained: bool) -> str:
    if explained and row.explanation:
        return render_completion_answer(row.label, row.explanation)
    return row.label.completion


def _read(model: Pretrained, row: Example, tokens: list[int], room: int) -> FreeForm:
    text = model.tokenizer.decode(tokens, skip_special_tokens=True).strip()
    read = parse_response(text, row.question)
    ended = model.tokenizer.eos_token_id in tokens[1:] or len(tokens) <= room
    return FreeForm(
        text=text,
        finish_reason="stop" if ended else "length",
        tokens=len(tokens),
        label=read.label.id if read.label else None,
        explanation=read.explanation if read.label else None,
        problem=read.problem.value if read.problem else None,
    )
