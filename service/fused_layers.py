"""RMSNorm and SiLU on CPUs by the kernels that vLLM's CPU build brings and does not call.

On x86 and without compilation, vLLM computes both from single PyTorch operations, each of which
reads and writes every activation: a fifth of the worker's time under label reads. Its CPU build has
a fused kernel for each. They are put in the place of vLLM's layers by vLLM's own mechanism for
out-of-tree layers, from a general plugin; where a kernel or a case is missing, vLLM's own way is
taken. Sums are taken in another order, in float32 as before.
"""

from __future__ import annotations

from typing import Any

_KERNELS = ("silu_and_mul", "rms_norm", "fused_add_rms_norm")


def register() -> None:
    """Put the layers in the place of vLLM's on CPUs; does nothing elsewhere or a second time."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    import torch
    from vllm.model_executor.custom_op import CustomOp, op_registry_oot

    current_platform.import_kernels()
    if not all(hasattr(torch.ops._C, name) for name in _KERNELS):
        return
    for name, layer in _layers().items():
        if name not in op_registry_oot:
            CustomOp.register_oot(name=name)(layer)


def _layers() -> dict[str, type]:
    """Define the layers; a function, since vLLM's base classes must not be imported with us."""
    import torch
    from vllm.model_executor.layers.activation import SiluAndMul
    from vllm.model_executor.layers.layernorm import RMSNorm

    class FusedSiluAndMul(SiluAndMul):  # type: ignore[misc]
        """SiLU of one half times the other, in one pass."""

        def forward_cpu(self, x: Any) -> Any:
            out = x.new_empty((*x.shape[:-1], x.shape[-1] // 2))
            torch.ops._C.silu_and_mul(out, x.contiguous())
            return out

    class FusedRMSNorm(RMSNorm):  # type: ignore[misc]
        """The norm, with the residual added where there is one, in one pass."""

        def forward_cpu(self, x: Any, residual: Any = None) -> Any:
            weight = self.weight.data if self.has_weight else None
            plain = weight is not None and weight.dtype == x.dtype and x.is_contiguous()
            if not plain or self.variance_size_override is not None:
                return self.forward_native(x, residual)
            if residual is None:
                out = torch.empty_like(x)
                torch.ops._C.rms_norm(out, x, weight, self.variance_epsilon)
                return out
            if not residual.is_contiguous() or residual.dtype != x.dtype:
                return self.forward_native(x, residual)
            # Both are overwritten, which vLLM's own fused norms do too.
            torch.ops._C.fused_add_rms_norm(x, residual, weight, self.variance_epsilon)
            return x, residual

    return {"SiluAndMul": FusedSiluAndMul, "RMSNorm": FusedRMSNorm}
