"""Which rows of a step the runner says are read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from service import head_rows


@pytest.fixture(autouse=True)
def step(monkeypatch) -> head_rows.Rows:
    fresh = head_rows.Rows()
    monkeypatch.setattr(head_rows, "STEP", fresh)
    return fresh


def runner(**prompts: int) -> SimpleNamespace:
    """A read of labels, a generated text, a chat with `top_logprobs`."""
    batch = SimpleNamespace(
        req_ids=["read", "text", "chat"],
        num_logprobs={"chat": 5},
        logprob_token_ids={"read": [1, 2], "gone": [3]},
    )
    return SimpleNamespace(input_batch=batch, num_prompt_logprobs=prompts)


def test_rows_in_the_order_of_the_batch(step) -> None:
    head_rows.note(runner())
    assert (step.number, step.read) == (3, (0, 2))


def test_all_rows_where_a_prompts_own_are_asked_for(step) -> None:
    head_rows.note(runner())
    head_rows.note(runner(text=1))
    assert step.number == -1


def test_vllms_runner_has_what_is_looked_at() -> None:
    """The names that `note` uses, and the hook, in the version that is installed."""
    import inspect

    pytest.importorskip("vllm")
    from vllm.v1.worker.gpu_input_batch import InputBatch
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    source = inspect.getsource(InputBatch)
    assert "self.num_logprobs: dict[str, int]" in source
    assert "self.logprob_token_ids: dict[str, list[int]]" in source
    assert "self.num_prompt_logprobs: dict[str, int]" in inspect.getsource(GPUModelRunner)
    execute = inspect.getsource(GPUModelRunner.execute_model)
    assert execute.index("self._prepare_inputs(") < execute.index("self.model.compute_logits(")
