"""Processors with bfloat16 but without AMX get the kernel that is faster there."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")


@pytest.fixture
def utils(monkeypatch):
    """VLLM's module that decides, as vLLM has it."""
    from vllm.model_executor.layers import utils
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        pytest.skip("the kernels are those of vLLM's CPU build")
    monkeypatch.setattr(utils, "check_cpu_sgl_kernel", lambda n, k, dtype: dtype == torch.int8)
    return utils


def test_the_kernel_is_taken_where_it_fits(utils, monkeypatch) -> None:
    from service import packed_linear

    monkeypatch.setattr(packed_linear, "_has_the_path", lambda: True)
    packed_linear.register()
    decides = utils.check_cpu_sgl_kernel
    assert decides(49152, 576, torch.bfloat16)
    assert not decides(49152, 570, torch.bfloat16)
    assert not decides(15, 576, torch.bfloat16)
    assert not decides(576, 576, torch.float32)
    assert decides(576, 576, torch.int8)  # vLLM's own decision
    packed_linear.register()
    assert utils.check_cpu_sgl_kernel is decides


def test_vllm_decides_where_there_is_no_such_path(utils, monkeypatch) -> None:
    from service import packed_linear

    theirs = utils.check_cpu_sgl_kernel
    monkeypatch.setattr(packed_linear, "_has_the_path", lambda: False)
    packed_linear.register()
    assert utils.check_cpu_sgl_kernel is theirs


def test_a_row_has_one_result_whatever_it_is_computed_with(utils) -> None:
    from service import packed_linear

    theirs = utils.check_cpu_sgl_kernel
    packed_linear.register()
    if not packed_linear._has_the_path():  # with AMX, or without products of bfloat16
        assert utils.check_cpu_sgl_kernel is theirs
        return
    generator = torch.Generator().manual_seed(1)
    made = torch.randn(1024 + 40, 576, generator=generator).bfloat16()
    layer = torch.nn.Module()
    layer.weight = torch.nn.Parameter(made[:1024] / 24, requires_grad=False)
    expected = made[1024:].float() @ layer.weight.float().T
    utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    assert layer.weight.numel() == 0  # packed, and not kept twice
    alone = [layer.cpu_linear(row[None], None, None) for row in made[1024:]]
    for rows in (2, 5, 33, 40):
        together = layer.cpu_linear(made[1024 : 1024 + rows], None, None)
        assert torch.equal(together, torch.cat(alone[:rows]))
        assert torch.allclose(together.float(), expected[:rows], rtol=0.01, atol=0.01)
