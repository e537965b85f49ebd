"""Matrix products on CPUs with bfloat16 but without AMX, by the faster of vLLM's two kernels.

vLLM's CPU build brings SGLang's product of packed weights (`weight_packed_linear`) beside that of
oneDNN, and takes it with AMX alone, for small matrices. It has a path for processors with AVX-512's
bfloat16 products as well. There it is faster at every size measured, most of all for few rows, of
which decoding consists: the embedded model's layers take 8.4 ms instead of 12.3 for one row, 7.1
instead of 11.5 for four and 150 instead of 173 for 256. Both sum a row in one order however many
rows there are, so that a row's result does not depend on what it is computed with.
"""

from __future__ import annotations

from typing import Any

_MARK = "_mentalllama_packed"


def register() -> None:
    """Let vLLM take the kernel; does nothing with AMX, where vLLM decides, or a second time."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    import torch
    from vllm.model_executor.layers import utils

    current_platform.import_kernels()
    decides = getattr(utils, "check_cpu_sgl_kernel", None)
    if decides is None or getattr(decides, _MARK, False) or not _has_the_path():
        return

    def check(n: int, k: int, dtype: Any) -> bool:
        # Rows of 32 weights and tiles of 16 outputs are what the kernel packs.
        fits = n % 16 == 0 and k % 32 == 0
        return (dtype == torch.bfloat16 and fits) or bool(decides(n, k, dtype))

    setattr(check, _MARK, True)
    utils.check_cpu_sgl_kernel = check


def _has_the_path() -> bool:
    """Whether this processor has AVX-512's bfloat16 products and no AMX, and vLLM the kernel.

    Its build for AVX2 has none.
    """
    import torch

    fits = torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()
    return bool(fits) and hasattr(torch.ops._C, "convert_weight_packed")
