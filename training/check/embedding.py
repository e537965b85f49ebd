"""Vectors of texts by an encoder: the mean of its last hidden states over a text's tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from training.evaluate.metrics import Floats
from training.evaluate.pretrained import Kind, Pretrained, load_pretrained

MAX_TOKENS = 512


def load_embedder(source: str | Path, *, device: str | None = None) -> Pretrained:
    """Load an encoder: a directory or a hub id of any model that `AutoModel` loads.

    Raises:
        ModelFilesError: it cannot be loaded.
    """
    return load_pretrained(source, Kind.ENCODER, device=device, max_tokens=MAX_TOKENS)


def embed(
    encoder: Pretrained,
    texts: Sequence[str],
    *,
    batch_size: int = 32,
    on_done: Callable[[int], None] = lambda number: None,
) -> Floats:
    """Return (N, D) vectors of length 1; what is longer than the encoder takes is cut at its end.

    Args:
        encoder: from `load_embedder`.
        texts: in any order; equal lengths are encoded together.
        batch_size: texts at a time.
        on_done: told how many more are done.
    """
    import torch

    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    vectors: list[Floats] = [np.zeros(0)] * len(texts)
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        batch = encoder.tokenizer(
            [texts[place] for place in places],
            padding=True,
            truncation=True,
            max_length=encoder.max_tokens,
            return_tensors="pt",
        ).to(encoder.device)
        with torch.inference_mode():
            hidden = encoder.model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"].unsqueeze(-1).float()
        means = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        means = torch.nn.functional.normalize(means, dim=1)
        for place, vector in zip(places, means.cpu().numpy(), strict=True):
            vectors[place] = vector.astype(np.float64)
        on_done(len(places))
    return np.stack(vectors) if vectors else np.zeros((0, 0))
