"""An engine that takes no time, for tests of what surrounds one."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence

from service.analysis.engine import Chunk, RequestContext, TokenRead

_EXPLANATION = "The post says so in as many words as anybody would need to see it."


class InstantEngine:
    """All tokens are equally likely; every explanation is the same sentence."""

    max_model_len = 8192
    adapters: tuple[str, ...] = ()

    async def read(
        self, prompt: Sequence[int], token_ids: Sequence[int], context: RequestContext, suffix: str
    ) -> TokenRead:
        """See `service.analysis.engine.Engine`."""
        del context, suffix
        even = -math.log(len(token_ids))
        return TokenRead((even,) * len(token_ids), len(prompt), 0)

    async def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        context: RequestContext,
        suffix: str,
        grammar: str | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        """See `service.analysis.engine.Engine`."""
        del context, suffix, grammar
        words = _EXPLANATION.split()
        for number, word in enumerate(words[:max_tokens], 1):
            last = number == min(len(words), max_tokens)
            yield Chunk(f" {word}", number, len(prompt), 0, "stop" if last else None)
