"""The paper's way: `transformers.generate` on queries in left-padded batches of 8, greedy.

As in the released `IMHI.py`: bare queries, one question each, the whole response written.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

from imhi.wording import render_query
from loadtests.generator import EXPLANATION_TOKENS, question_of
from loadtests.workload import Item

BATCH = 8


class TransformersBaseline:
    """A model in this process, beside the servers.

    Args:
        weights: a directory.
        dtype: of the weights in memory, as PyTorch calls it.
    """

    def __init__(self, weights: str, dtype: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer: Any = AutoTokenizer.from_pretrained(weights, padding_side="left")
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        model: Any = AutoModelForCausalLM.from_pretrained(weights, dtype=dtype)
        self._model = model.to(device).eval()

    async def posts_per_second(self, items: Sequence[Item]) -> float:
        """Answer one question on each post, batch by batch."""
        begun = time.perf_counter()
        for start in range(0, len(items), BATCH):
            # In a thread, so that an interrupt stops the servers at once.
            await asyncio.to_thread(self._generate, items[start : start + BATCH])
        return len(items) / (time.perf_counter() - begun)

    def _generate(self, items: Sequence[Item]) -> None:
        import torch

        queries = [render_query(item.post, question_of(item)) for item in items]
        encoded = self._tokenizer(queries, return_tensors="pt", padding=True).to(self._model.device)
        with torch.inference_mode():
            self._model.generate(
                **encoded,
                max_new_tokens=EXPLANATION_TOKENS,
                do_sample=False,
                pad_token_id=self._tokenizer.pad_token_id,
            )
