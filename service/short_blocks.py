"""KV blocks of 16 tokens on CPUs: what a post's questions compute anew is half as long.

vLLM shares whole blocks only, so that each of a post's questions computes the rest of its last
block again, half a block on average. Its CPU attention has a kernel for blocks of 16 (`vec16`) and
picks it by itself, but announces multiples of 32, and an engine with blocks of 16 does not start.
Here it announces multiples of 16. Where AMX is used, whose kernel wants 32, `service.launch` asks
for that.
"""

from __future__ import annotations

from typing import Any

TOKENS = 16


def register() -> None:
    """Let the CPU backend take blocks of 16; does nothing elsewhere or where it does by itself."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.v1.attention.backend import MultipleOf
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    announced = getattr(CPUAttentionBackend, "get_supported_kernel_block_sizes", None)
    if announced is None or [getattr(one, "base", one) for one in announced()] != [2 * TOKENS]:
        return

    def multiples(kv_cache_spec: Any = None) -> list[Any]:
        del kv_cache_spec
        return [MultipleOf(TOKENS)]

    CPUAttentionBackend.get_supported_kernel_block_sizes = staticmethod(multiples)
