"""A fine-tuned encoder with one head a question: labels alone, all questions in one pass.

The packaged MiniLM is loaded as `training.baseline.encoder` loads it, and given a head for each
question. The heads are not trained: a forward pass takes as long with any weights, and nothing here
looks at what it answers. What it answers when it is trained stands in the rivals' table of
`mentalllama-train baseline`.

`scaled` says on paper what BERT-base, the size of MentalBERT, would do on the same machine: as many
operations a second as the encoder that was measured reached. Larger matrices come nearer to a
machine's limit, so it would be somewhat faster than that.
"""

from __future__ import annotations

import asyncio
import os
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imhi.tasks import QUESTIONS
from loadtests.absent import need
from loadtests.drive import Answered
from loadtests.latency import Sample

PACKAGE = "all_minilm_l6_v2"
BATCH = 32
MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """An encoder's shape: how many layers, the width of a token's state and of its inner layer."""

    layers: int
    hidden: int
    inner: int

    def operations(self, tokens: int) -> float:
        """Floating-point operations on a text of so many tokens.

        A layer multiplies each token with four square matrices and two of the inner layer, and
        compares each token with each: tokens x (2 x (4 hidden^2 + 2 hidden inner)) +
        4 x tokens^2 x hidden, times the layers (as `loadtests.needed` counts a decoder's, but every
        token sees all). Embeddings and heads are below a percent.
        """
        matrices = 2.0 * (4 * self.hidden**2 + 2 * self.hidden * self.inner)
        return self.layers * (tokens * matrices + 4.0 * tokens**2 * self.hidden)


BERT_BASE = EncoderShape(layers=12, hidden=768, inner=3072)
"""Of bert-base (Devlin et al., 2019, section 3), MentalBERT's architecture."""


class Encoder:
    """The packaged encoder in this process.

    Args:
        folder: where the package's files are unpacked.
        dtype: of the weights, as PyTorch calls it.

    Raises:
        AbsentError: the package is not installed.
        ModelFilesError: its files cannot be loaded.
    """

    def __init__(self, folder: Path, dtype: str) -> None:
        need(PACKAGE)
        import torch

        from training.evaluate.pretrained import Kind, load_pretrained

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        loaded = load_pretrained(_unpacked(folder), Kind.ENCODER, max_tokens=MAX_TOKENS)
        config = loaded.model.config
        self.shape = EncoderShape(
            config.num_hidden_layers, config.hidden_size, config.intermediate_size
        )
        self._loaded = loaded
        self._model: Any = loaded.model.to(getattr(torch, dtype))
        self._heads = [
            torch.nn.Linear(
                config.hidden_size, len(one.labels), dtype=self._model.dtype, device=loaded.device
            )
            for one in QUESTIONS.values()
        ]

    def tokens(self, post: str) -> int:
        """Of a post, as it is read: what is longer than the encoder takes is cut."""
        return len(self._loaded.tokenizer(post, truncation=True, max_length=MAX_TOKENS).input_ids)

    async def ask(self, posts: Sequence[str]) -> list[Sample]:
        """Answer all questions on all posts, those of a like length together: little padding."""
        begun = time.perf_counter()
        ordered = sorted(posts, key=len)
        samples: list[Sample] = []
        for start in range(0, len(ordered), BATCH):
            await asyncio.sleep(0)  # where an interrupt is heard
            sent = time.perf_counter()
            answered = self._answered(ordered[start : start + BATCH])
            end = time.perf_counter()
            samples += [Sample(begun, sent, None, None, end, 0, one.labels) for one in answered]
        return samples

    def _answered(self, posts: Sequence[str]) -> list[Answered]:
        import torch

        batch = self._loaded.tokenizer(
            list(posts),
            padding=True,
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        ).to(self._loaded.device)
        with torch.inference_mode():
            first = self._model(**batch).last_hidden_state[:, 0]
            likeliest = [head(first).softmax(-1).argmax(-1).tolist() for head in self._heads]
        return [Answered(labels=len(likeliest)) for _ in posts]


def scaled(
    rate: float, tokens: Sequence[int], measured: EncoderShape, other: EncoderShape
) -> float:
    """Posts a second of another encoder that does as many operations a second.

    Args:
        rate: posts a second of the measured one.
        tokens: of each post.
        measured: its shape.
        other: the shape of the other.

    Returns:
        rate x sum of the measured one's operations / sum of the other's.
    """
    own, others = (sum(map(shape.operations, tokens)) for shape in (measured, other))
    return rate * own / others


def _unpacked(folder: Path) -> Path:
    """The package's model, unpacked once."""
    target = folder / PACKAGE
    spec = find_spec(PACKAGE)
    if not (target / "model.safetensors").is_file() and spec and spec.submodule_search_locations:
        archive = Path(next(iter(spec.submodule_search_locations))) / "model.zip"
        with zipfile.ZipFile(archive) as file:
            file.extractall(target)
    return target
