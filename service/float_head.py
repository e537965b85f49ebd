"""A float32 language-model head on CPUs that does not copy its weights at every step.

With `head_dtype` float32, vLLM's logits processor casts the head's bf16 weights to float32 for each
step where the platform has no mixed-precision product, as on CPUs. This layer keeps the cast
weights instead, for the price of one copy in memory (113 MB for the embedded model). It is put in
the place of vLLM's by vLLM's own mechanism for out-of-tree layers, from a general plugin, so it is
there in every process of the engine.

Both factors of the product were bfloat16 before they were cast, so oneDNN may multiply them as
such: each product is exact in float32, where the sums are taken and the logits stay. That is two to
three times as fast on processors with bfloat16 products.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

LAYER = "LogitsProcessor"


def register() -> None:
    """Put the layer in the place of vLLM's on CPUs; does nothing elsewhere or a second time."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.custom_op import PluggableLayer, op_registry_oot

    if LAYER not in op_registry_oot:
        PluggableLayer.register_oot(name=LAYER)(_layer())


@contextmanager
def _products_of_bfloat16() -> Iterator[None]:
    """Let oneDNN round the factors of float32 products to bfloat16, and nothing else."""
    import torch

    settings = torch.backends.mkldnn.matmul
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


def _layer() -> type:
    """Define the layer; a function, since vLLM's base class must not be imported with us."""
    import torch
    from torch.nn.functional import linear
    from vllm.model_executor.layers.linear import UnquantizedLinearMethod
    from vllm.model_executor.layers.logits_processor import LogitsProcessor
    from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod

    class KeptFloatHead(LogitsProcessor):  # type: ignore[misc]
        """vLLM's logits processor with the head's float32 weights kept between steps."""

        _kept: tuple[tuple[int, int], Any] | None = None

        def _apply_head(self, lm_head: Any, hidden_states: Any, embedding_bias: Any) -> Any:
            plain = isinstance(
                getattr(lm_head, "quant_method", None),
                (UnquantizedEmbeddingMethod, UnquantizedLinearMethod),
            )
            if (
                self.head_dtype != torch.float32
                or not plain
                or lm_head.weight.dtype == torch.float32
            ):
                return super()._apply_head(lm_head, hidden_states, embedding_bias)
            weight = lm_head.weight
            # Another tensor, or the same one written to, is cast again.
            key = (weight.data_ptr(), weight._version)
            if self._kept is None or self._kept[0] != key:
                self._kept = (key, weight.detach().to(torch.float32))
            bias = None if embedding_bias is None else embedding_bias.to(torch.float32)
            rounded = weight.dtype == hidden_states.dtype == torch.bfloat16
            with _products_of_bfloat16() if rounded else nullcontext():
                return linear(hidden_states.to(torch.float32), self._kept[1], bias)

    return KeptFloatHead
