"""The paper's way: `transformers.generate` on queries in left-padded batches of 8, greedy.

As in the released `IMHI.py`: bare queries, one question each, the whole response written and the
label read from its text.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imhi.parsing import parse_response
from imhi.wording import render_query
from loadtests.absent import AbsentError
from loadtests.clients import EXPLANATION_TOKENS, Ask
from loadtests.latency import Sample

BATCH = 8

_ROOM = 1.25
"""What the weights take with keys, values and activations of a batch, times the weights alone."""


class Generate:
    """A model in this process.

    Args:
        weights: a directory.
        dtype: of the weights in memory, as PyTorch calls it.

    Raises:
        AbsentError: there are no weights, or the servers leave no room for them on the GPU.
    """

    def __init__(self, weights: Path, dtype: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        size = sum(file.stat().st_size for file in weights.glob("*.safetensors"))
        if weights.is_dir() and not size:  # a hub's id is no directory, and is fetched below
            raise AbsentError("the model has no weights (loadtests/weightless.py)")
        if device == "cuda":
            _need_room(size)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(weights, padding_side="left")
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        model: Any = AutoModelForCausalLM.from_pretrained(weights, dtype=dtype)
        self._model = model.to(device).eval()

    async def ask(self, asks: Sequence[Ask]) -> list[Sample]:
        """Answer all, batch by batch, in the order given."""
        begun = time.perf_counter()
        samples: list[Sample] = []
        for start in range(0, len(asks), BATCH):
            batch = asks[start : start + BATCH]
            await asyncio.sleep(0)  # where an interrupt is heard
            sent = time.perf_counter()
            written = self._written(batch)
            end = time.perf_counter()
            for one, (text, tokens) in zip(batch, written, strict=True):
                label = parse_response(text, one.questions[0]).label
                found = int(label is not None)
                samples.append(Sample(begun, sent, None, None, end, tokens, found))
        return samples

    def _written(self, batch: Sequence[Ask]) -> list[tuple[str, int]]:
        import torch

        queries = [render_query(one.post, one.questions[0]) for one in batch]
        encoded = self._tokenizer(queries, return_tensors="pt", padding=True)
        encoded = encoded.to(self._model.device)
        with torch.inference_mode():
            output = self._model.generate(
                **encoded,
                max_new_tokens=EXPLANATION_TOKENS,
                do_sample=False,
                pad_token_id=self._tokenizer.pad_token_id,
            )
        new = output[:, encoded["input_ids"].shape[1] :]
        counts = (new != self._tokenizer.pad_token_id).sum(dim=1).tolist()
        texts = self._tokenizer.batch_decode(new, skip_special_tokens=True)
        return list(zip(texts, counts, strict=True))


def _need_room(size: int) -> None:
    import torch

    needed = _ROOM * size
    free, _ = torch.cuda.mem_get_info()
    if free < needed:
        raise AbsentError(
            f"the servers leave {free / 1e9:.0f} GB of the GPU free, and it needs about "
            f"{needed / 1e9:.0f}; a lower --gpu-memory-utilization in --options makes room"
        )
