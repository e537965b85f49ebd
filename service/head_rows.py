"""Which rows of a step's logits are read as probabilities, for the head that computes them.

Only a request that asks for log-probabilities sees the difference between a head in float32 and one
in bfloat16, which is twice as fast; what a request gets depends on itself alone, whatever it shares
a step with. vLLM computes all logits of a step at once and does not say whose they are: here its
runner, which has put the batch into order, leaves word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MARK = "_mentalllama_rows"


@dataclass(slots=True)
class Rows:
    """Of the step that is prepared.

    Attributes:
        number: of requests, each with a row; -1 where nothing is known.
        read: the rows that are read as probabilities.
    """

    number: int = -1
    read: tuple[int, ...] = ()


STEP = Rows()
"""Of this process's runner; there is one."""


def register() -> None:
    """Let vLLM's V1 runner leave word on CPUs; does nothing elsewhere or a second time."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():  # `service.float_head`, which asks, is there on CPUs alone
        return
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    if getattr(GPUModelRunner, _MARK, False):
        return
    prepare = GPUModelRunner._prepare_inputs

    def prepare_and_tell(self: Any, *args: Any, **kwargs: Any) -> Any:
        prepared = prepare(self, *args, **kwargs)
        note(self)
        return prepared

    GPUModelRunner._prepare_inputs = prepare_and_tell
    setattr(GPUModelRunner, _MARK, True)


def note(runner: Any) -> None:
    """Keep which rows of the runner's batch are read.

    Where a prompt's own log-probabilities are asked for, which are computed apart, all rows are.
    """
    batch = runner.input_batch
    if runner.num_prompt_logprobs:
        STEP.number = -1
        return
    asked = batch.num_logprobs.keys() | batch.logprob_token_ids.keys()
    STEP.number = len(batch.req_ids)
    STEP.read = tuple(row for row, name in enumerate(batch.req_ids) if name in asked)
