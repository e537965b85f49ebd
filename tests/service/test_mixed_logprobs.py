"""A batch with label reads and ordinary requests gives each what it asked for."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.xdist_group("vllm")  # one worker imports it

VOCABULARY = 11


@pytest.fixture
def sampler():
    pytest.importorskip("vllm")
    from vllm.v1.sample.sampler import Sampler

    from service import mixed_logprobs

    kept = Sampler.forward, Sampler.gather_specific_token_logprobs
    mixed_logprobs.register()
    mixed_logprobs.register()
    yield Sampler()
    Sampler.forward, Sampler.gather_specific_token_logprobs = kept
    delattr(Sampler, mixed_logprobs._MARK)


def metadata(top: int | None, chosen: dict[int, list[int]]):
    """Greedy sampling of three requests, as the V1 runner describes it."""
    import torch
    from vllm.v1.sample.logits_processor import LogitsProcessors
    from vllm.v1.sample.metadata import SamplingMetadata

    empty = torch.empty(0)
    return SamplingMetadata(
        temperature=None,
        all_greedy=True,
        all_random=False,
        top_p=None,
        top_k=None,
        generators={},
        max_num_logprobs=top,
        no_penalties=True,
        prompt_token_ids=None,
        frequency_penalties=empty,
        presence_penalties=empty,
        repetition_penalties=empty,
        output_token_ids=[[], [], []],
        allowed_token_ids_mask=None,
        bad_words_token_ids={},
        logitsprocs=LogitsProcessors(),
        logprob_token_ids=chosen,
    )


@pytest.mark.slow
@pytest.mark.parametrize("top", [2, 5])
@pytest.mark.parametrize("chosen", [[4], [7, 1, 3]])
def test_each_row_holds_what_its_request_asked_for(sampler, top: int, chosen: list[int]) -> None:
    import torch

    logits = torch.randn(3, VOCABULARY, generator=torch.Generator().manual_seed(1))
    expected = logits.log_softmax(-1)
    output = sampler(logits.clone(), metadata(top, {1: chosen})).logprobs_tensors
    assert output.logprob_token_ids[1, 1 : 1 + len(chosen)].tolist() == chosen
    assert torch.allclose(output.logprobs[1, 1 : 1 + len(chosen)], expected[1, chosen])
    for row in (0, 2):
        best = expected[row].topk(top)
        assert output.logprob_token_ids[row, 1 : 1 + top].tolist() == best.indices.tolist()
        assert torch.allclose(output.logprobs[row, 1 : 1 + top], best.values)
    assert output.logprob_token_ids[:, 0].tolist() == logits.argmax(-1).tolist()


def test_label_reads_alone_are_left_to_vllm(sampler) -> None:
    import torch

    logits = torch.randn(3, VOCABULARY, generator=torch.Generator().manual_seed(2))
    output = sampler(logits.clone(), metadata(None, {0: [2, 9], 2: [5]})).logprobs_tensors
    assert output.logprobs.shape == (3, 3)
    assert torch.allclose(output.logprobs[0, 1:], logits.log_softmax(-1)[0, [2, 9]])
