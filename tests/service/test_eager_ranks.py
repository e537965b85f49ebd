"""The count of tokens at least as probable as the sampled one, without a compiler."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.xdist_group("vllm")  # one worker imports it

VOCABULARY = 49


def test_counts_what_vllm_counts() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("vllm")
    from vllm.v1.sample.ops import logprobs as theirs

    from service.eager_ranks import count_at_least

    rows = torch.randn(5, VOCABULARY, generator=torch.Generator().manual_seed(3)).log_softmax(-1)
    rows[2] = -3.0  # all equal: every token is at least as probable as any
    rows[4, 7] = float("-inf")
    values = rows[:, 7:8].clone()
    counted = count_at_least(rows, values)
    uncompiled = theirs.batched_count_greater_than.__wrapped__
    assert counted.tolist() == uncompiled(rows, values).tolist()
    assert counted.dtype == torch.int64
    assert counted[2] == counted[4] == VOCABULARY


def test_takes_the_place_of_vllms_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("vllm")
    from vllm.platforms import current_platform
    from vllm.v1.sample import sampler

    from service import eager_ranks

    monkeypatch.setattr(sampler, "batched_count_greater_than", None)
    monkeypatch.setattr(type(current_platform), "is_cpu", lambda _: False)
    eager_ranks.register()
    assert sampler.batched_count_greater_than is None
    monkeypatch.setattr(type(current_platform), "is_cpu", lambda _: True)
    eager_ranks.register()
    assert sampler.batched_count_greater_than is eager_ranks.count_at_least
