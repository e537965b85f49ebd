"""The CPU backend takes blocks of 16 tokens once the plugin is loaded."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.xdist_group("vllm")  # one worker imports it


def test_multiples_of_16_are_announced(monkeypatch) -> None:
    pytest.importorskip("vllm")
    from vllm.platforms import current_platform
    from vllm.v1.attention.backend import MultipleOf
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend, _get_attn_isa

    from service import short_blocks

    if not current_platform.is_cpu():
        pytest.skip("the kernels are those of vLLM's CPU build")
    name = "get_supported_kernel_block_sizes"
    theirs = staticmethod(lambda kv_cache_spec=None: [MultipleOf(32)])
    monkeypatch.setattr(CPUAttentionBackend, name, theirs)
    for _ in range(2):
        short_blocks.register()
        assert CPUAttentionBackend.get_supported_kernel_block_sizes() == [MultipleOf(16)]
    import torch

    # What makes it true: the kernel that vLLM picks for them.
    assert _get_attn_isa(torch.bfloat16, short_blocks.TOKENS, 64) in ("vec16", "neon")


def test_a_version_that_announces_something_else_is_left_alone(monkeypatch) -> None:
    pytest.importorskip("vllm")
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    from service import short_blocks

    theirs = staticmethod(lambda kv_cache_spec=None: [8])
    monkeypatch.setattr(CPUAttentionBackend, "get_supported_kernel_block_sizes", theirs)
    short_blocks.register()
    assert CPUAttentionBackend.get_supported_kernel_block_sizes() == [8]
