"""What the analysis asks of an engine: exact reads of chosen tokens, and greedy generation.

`service.analysis.vllm_engine` answers with vLLM; tests answer with a fake. Prompts are token ids,
made by `service.analysis.prompt`, so an engine never sees a post as a string.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What travels with every engine request of one analysis.

    Attributes:
        request_id: unique within the process; engine requests are named `{request_id}-{suffix}`.
        adapter: name of a LoRA adapter the engine serves, or None for the base model.
        cache_salt: requests share a prefix cache only with those of the same salt; None is one too.
    """

    request_id: str
    adapter: str | None = None
    cache_salt: str | None = None


@dataclass(frozen=True, slots=True)
class TokenRead:
    """Log-probabilities of the token that follows a prompt.

    Attributes:
        logprobs: natural-log probabilities under the full vocabulary, one per token asked for.
        prompt_tokens: length of the prompt in tokens.
        cached_tokens: how many of them came from the prefix cache.
        queued: seconds that the request waited in the engine before it was first worked on.
    """

    logprobs: tuple[float, ...]
    prompt_tokens: int
    cached_tokens: int
    queued: float = 0.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a completion as it is generated.

    Attributes:
        text: the new text, without what earlier chunks held.
        tokens: completion tokens so far.
        prompt_tokens: length of the prompt in tokens.
        cached_tokens: how many of them came from the prefix cache.
        finish_reason: `stop`, `length` or `repetition` on the last chunk, None before.
    """

    text: str
    tokens: int
    prompt_tokens: int
    cached_tokens: int
    finish_reason: str | None = None


class Engine(Protocol):
    """A causal language model that runs many requests at once."""

    @property
    def max_model_len(self) -> int:
        """Most tokens that a prompt and its completion may hold together."""
        ...

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the LoRA adapters that `RequestContext.adapter` may take."""
        ...

    async def read(
        self, prompt: Sequence[int], token_ids: Sequence[int], context: RequestContext, suffix: str
    ) -> TokenRead:
        """Log-probabilities of `token_ids` as the next token after `prompt`.

        Raises:
            EngineError: the engine failed or gave no log-probability.
            OverloadedError: the engine refuses more work.
        """
        ...

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        context: RequestContext,
        suffix: str,
        grammar: str | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        """Greedy completion of `prompt`, at most `max_tokens` long, that follows `grammar`.

        The grammar is one of `service.analysis.quotation`. An engine that cannot follow it leaves
        it out, which `service.serving` warns of at the start.

        Closing the generator, or cancelling the task that reads it, frees the engine's slot.

        Raises:
            EngineError: the engine failed.
            OverloadedError: the engine refuses more work.
        """
        ...
