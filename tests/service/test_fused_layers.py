"""The fused layers give what vLLM's own give, to the rounding of bfloat16."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.xdist_group("vllm")  # one worker imports it


@pytest.fixture
def layers():
    """Ours and vLLM's, of one width."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("vllm")
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.model_executor.layers.activation import SiluAndMul
    from vllm.model_executor.layers.layernorm import RMSNorm
    from vllm.platforms import current_platform

    from service.fused_layers import _layers

    if not current_platform.is_cpu():
        pytest.skip("the kernels are those of vLLM's CPU build")
    current_platform.import_kernels()
    ours = _layers()
    with set_current_vllm_config(VllmConfig()):
        yield {
            "silu": (ours["SiluAndMul"](), SiluAndMul()),
            "norm": (
                ours["RMSNorm"](64, dtype=torch.bfloat16),
                RMSNorm(64, dtype=torch.bfloat16),
            ),
        }


def made(*shape: int):
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).bfloat16()


def test_silu(layers) -> None:
    import torch

    ours, theirs = layers["silu"]
    for x in (made(7, 128), made(7, 256)[:, ::2]):
        expected = theirs.forward_native(x)
        assert torch.allclose(ours.forward_cpu(x), expected, rtol=0.02, atol=0.01)


def test_norm_with_and_without_a_residual(layers) -> None:
    import torch

    ours, theirs = layers["norm"]
    x, residual = made(7, 64), 3 * made(7, 64)
    alone = ours.forward_cpu(x)
    assert torch.allclose(alone, theirs.forward_native(x), rtol=0.02, atol=0.01)
    expected = theirs.forward_native(x.clone(), residual.clone())
    found = ours.forward_cpu(x.clone(), residual.clone())
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=0.02, atol=0.01)


def test_what_the_kernel_does_not_take_is_left_to_vllm(layers) -> None:
    import torch

    ours, theirs = layers["norm"]
    x = made(7, 64).float()
    assert torch.equal(ours.forward_cpu(x), theirs.forward_native(x))
