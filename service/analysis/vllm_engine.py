"""The `Engine` protocol on vLLM's `EngineClient`.

A token read is a request for one token with `SamplingParams(logprob_token_ids=…)`, which returns
the full-vocabulary log-probabilities of just those tokens; an explanation is a greedy request
streamed in deltas. Cancelling the reading task, or closing the generator, aborts the request in the
engine.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from service.analysis.engine import Chunk, RequestContext, TokenRead
from service.errors import EngineError, OverloadedError, ServiceError
from service.spans import engine_headers

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams
    from vllm.engine.protocol import EngineClient
    from vllm.lora.request import LoRARequest

_DIED = "The engine failed on this request. Try again; if it persists, see the service's log."


class VllmEngine:
    """vLLM as the engine of the analysis.

    Args:
        client: a running engine, the server's own or one in this process.
        adapters: LoRA adapters by name.
        grammars: whether completions follow the grammars that `generate` is given.
    """

    def __init__(
        self,
        client: EngineClient,
        adapters: Mapping[str, LoRARequest] | None = None,
        *,
        grammars: bool = False,
    ) -> None:
        self._client = client
        self._adapters = dict(adapters or {})
        self._grammars = grammars
        self._traced = client.vllm_config.observability_config.otlp_traces_endpoint is not None

    @property
    def max_model_len(self) -> int:
        """Most tokens that a prompt and its completion may hold together."""
        return int(self._client.model_config.max_model_len)

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the LoRA adapters that a context may name."""
        return tuple(self._adapters)

    async def read(
        self, prompt: Sequence[int], token_ids: Sequence[int], context: RequestContext, suffix: str
    ) -> TokenRead:
        """Log-probabilities of `token_ids` as the next token; see `Engine.read`."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        parameters = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprob_token_ids=list(token_ids),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        last: RequestOutput | None = None
        async with aclosing(self._generate(prompt, parameters, context, suffix)) as outputs:
            async for output in outputs:
                last = output
        if last is None or not last.outputs or not last.outputs[0].logprobs:
            raise EngineError(_DIED)
        found: Mapping[int, Any] = last.outputs[0].logprobs[0]
        if any(token not in found for token in token_ids):
            raise EngineError(_DIED)
        return TokenRead(
            logprobs=tuple(float(found[token].logprob) for token in token_ids),
            prompt_tokens=len(prompt),
            cached_tokens=last.num_cached_tokens or 0,
            queued=_queued(last),
        )

    async def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        context: RequestContext,
        suffix: str,
        grammar: str | None = None,
    ) -> AsyncGenerator[Chunk, None]:
        """Greedy completion in deltas; see `Engine.generate`."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        followed = grammar is not None and self._grammars
        parameters = SamplingParams(
            max_tokens=max_tokens,
            temperature=0.0,
            output_kind=RequestOutputKind.DELTA,
            structured_outputs=StructuredOutputsParams(grammar=grammar) if followed else None,
            **_no_loops(),
        )
        tokens = 0
        async with aclosing(self._generate(prompt, parameters, context, suffix)) as outputs:
            async for output in outputs:
                completion = output.outputs[0]
                tokens += len(completion.token_ids)
                yield Chunk(
                    text=completion.text,
                    tokens=tokens,
                    prompt_tokens=len(prompt),
                    cached_tokens=output.num_cached_tokens or 0,
                    finish_reason=completion.finish_reason,
                )

    async def _generate(
        self,
        prompt: Sequence[int],
        parameters: SamplingParams,
        context: RequestContext,
        suffix: str,
    ) -> AsyncGenerator[RequestOutput, None]:
        """Run one request; every failure leaves as a `ServiceError` without its content."""
        from vllm.inputs import tokens_input

        adapter = self._adapters[context.adapter] if context.adapter is not None else None
        try:
            outputs = self._client.generate(
                tokens_input(list(prompt), cache_salt=context.cache_salt),
                parameters,
                f"{context.request_id}-{suffix}",
                lora_request=adapter,
                # vLLM warns of headers that it has no use for.
                trace_headers=engine_headers() if self._traced else None,
            )
            async with aclosing(outputs):
                async for output in outputs:
                    if output.outputs and output.outputs[0].finish_reason in ("error", "abort"):
                        raise EngineError(_DIED)
                    yield output
        except ServiceError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever vLLM raises, a caller gets ours
            if _refuses_work(error):
                raise OverloadedError(
                    "The engine's queue is full. Try again in a few seconds."
                ) from None
            # vLLM's own messages can hold the prompt.
            raise EngineError(_DIED) from None


def _no_loops() -> dict[str, Any]:
    """What ends a completion that says the same again and again, as a small model can.

    Of a loop nothing follows, and it would keep its place in the engine up to the token limit. A
    run of four to 32 tokens is a loop when it comes three times on end.
    """
    try:
        from vllm.sampling_params import RepetitionDetectionParams
    except ImportError:  # an older vLLM, where the token limit ends it
        return {}
    return {
        "repetition_detection": RepetitionDetectionParams(
            min_pattern_size=4, max_pattern_size=32, min_count=3
        )
    }


def _queued(output: RequestOutput) -> float:
    """Seconds in the engine's queue; 0 where vLLM keeps no statistics (`--disable-log-stats`)."""
    statistics = output.metrics
    if statistics is None or not statistics.scheduled_ts:
        return 0.0
    return max(0.0, float(statistics.scheduled_ts - statistics.queued_ts))


def _refuses_work(error: Exception) -> bool:
    """Whether vLLM refused the request for load, by the HTTP status it would answer with."""
    status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
    return status is not None and int(status) in (429, 503)
