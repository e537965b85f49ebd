"""A fake engine for unit tests."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncGenerator, Callable, Sequence

from service.analysis.engine import Chunk, RequestContext, TokenRead
from service.errors import EngineError


class FakeEngine:
    """Log-probabilities that depend on nothing but the prompt and the token; canned completions.

    Args:
        explanation: what every completion says, one word a chunk.
        delay: seconds before each read and each chunk.
        max_model_len: as vLLM's.
        fails: takes a request's suffix and says whether it fails.
    """

    def __init__(
        self,
        explanation: str = " Because the post says so.",
        delay: float = 0.0,
        max_model_len: int = 4096,
        fails: Callable[[str], bool] = lambda suffix: False,
    ) -> None:
        self.explanation = explanation
        self.delay = delay
        self._max_model_len = max_model_len
        self.fails = fails
        self.prompts: dict[str, tuple[int, ...]] = {}
        self.grammars: dict[str, str | None] = {}
        self.running = 0
        self.contexts: set[RequestContext] = set()

    @property
    def max_model_len(self) -> int:
        return self._max_model_len

    @property
    def adapters(self) -> tuple[str, ...]:
        return ("tuned",)

    async def read(
        self, prompt: Sequence[int], token_ids: Sequence[int], context: RequestContext, suffix: str
    ) -> TokenRead:
        self._record(prompt, context, suffix)
        self.running += 1
        try:
            await asyncio.sleep(self.delay)
            if self.fails(suffix):
                raise EngineError("The engine failed.")
            return TokenRead(
                tuple(self.logprob(prompt, token) for token in token_ids),
                len(prompt),
                0,
                queued=len(prompt) / 1000,
            )
        finally:
            self.running -= 1

    async def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        context: RequestContext,
        suffix: str,
        grammar: str | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        self._record(prompt, context, suffix)
        self.grammars[suffix] = grammar
        words = self.explanation.split(" ")
        pieces = [words[0], *(f" {word}" for word in words[1:])]
        pieces = [piece for piece in pieces if piece]
        self.running += 1
        try:
            for number, piece in enumerate(pieces[:max_tokens], 1):
                await asyncio.sleep(self.delay)
                if self.fails(suffix):
                    raise EngineError("The engine failed.")
                last = number == min(len(pieces), max_tokens)
                reason = "length" if max_tokens < len(pieces) else "stop"
                yield Chunk(piece, number, len(prompt), 0, reason if last else None)
        finally:
            self.running -= 1

    @staticmethod
    def logprob(prompt: Sequence[int], token: int) -> float:
        digest = hashlib.sha256(repr((tuple(prompt), token)).encode()).digest()
        return math.log((digest[0] + 1) / 257) - 1.0

    def _record(self, prompt: Sequence[int], context: RequestContext, suffix: str) -> None:
        self.prompts[suffix] = tuple(prompt)
        self.contexts.add(context)
