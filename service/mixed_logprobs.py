"""Right log-probabilities for OpenAI requests that share a batch with label reads.

vLLM's V1 sampler answers a whole batch with the log-probabilities that `logprob_token_ids` asks
for as soon as one request of the batch has it; a chat completion with `top_logprobs` beside a label
read then gets minus infinities (vllm-project/vllm#51789, seen on 0.32.0). Here the rows of the
other requests keep what they asked for. vLLM's V2 runner, on GPUs, has a sampler of its own and is
not touched.
"""

from __future__ import annotations

from typing import Any

_MARK = "_mentalllama_mixes"


def register() -> None:
    """Mend vLLM's V1 sampler in this process; does nothing a second time."""
    from vllm.v1.sample.sampler import Sampler

    if getattr(Sampler, _MARK, False):
        return
    forward, gather = Sampler.forward, Sampler.gather_specific_token_logprobs

    def forward_with_metadata(
        self: Any, logits: Any, sampling_metadata: Any, *args: Any, **kwargs: Any
    ) -> Any:
        self._mentalllama_top = sampling_metadata.max_num_logprobs
        return forward(self, logits, sampling_metadata, *args, **kwargs)

    def gather_both(self: Any, logprobs: Any, logprob_token_ids: Any, sampled: Any) -> Any:
        chosen = gather(self, logprobs, logprob_token_ids, sampled)
        top = getattr(self, "_mentalllama_top", None)
        # -1 asks for the whole vocabulary, which vLLM refuses over HTTP unless told otherwise.
        if chosen is None or top is None or top < 0:
            return chosen
        others = self.gather_logprobs(logprobs, top, token_ids=sampled)
        return merge(chosen, others, sorted(logprob_token_ids))

    Sampler.forward = forward_with_metadata
    Sampler.gather_specific_token_logprobs = gather_both
    setattr(Sampler, _MARK, True)


def merge(chosen: Any, others: Any, rows: list[int]) -> Any:
    """Rows of `chosen` at `rows`, rows of `others` elsewhere.

    Args:
        chosen: vLLM's `LogprobsTensors` for the requests with `logprob_token_ids`.
        others: the same batch's for the requests that ask for the most probable tokens.
        rows: which rows of the batch `chosen` is right for.

    Returns:
        `LogprobsTensors` as wide as the wider; the rest of a row is token 0 at minus infinity, as
        vLLM pads them. A request reads as many columns as it asked for.
    """
    import torch

    width = max(chosen.logprobs.shape[1], others.logprobs.shape[1])

    def wide(tensor: Any, fill: float) -> Any:
        return torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]), value=fill)

    ids = wide(others.logprob_token_ids, 0)
    logprobs = wide(others.logprobs, float("-inf"))
    ids[rows] = wide(chosen.logprob_token_ids, 0)[rows]
    logprobs[rows] = wide(chosen.logprobs, float("-inf"))[rows]
    return type(chosen)(ids, logprobs, chosen.selected_token_ranks)
