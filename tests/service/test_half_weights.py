"""Processors without products of bfloat16 get float32, with weights in half precision."""

from __future__ import annotations

import gc

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")

from service import half_weights, processor  # noqa: E402


@pytest.fixture
def utils(monkeypatch):
    """VLLM's module that decides, as vLLM has it, on a processor that is faster in float32."""
    from vllm.model_executor.layers import utils
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        pytest.skip("the layers are those of vLLM's CPU build")
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("this build of PyTorch has no FBGEMM")

    def theirs(layer, remove_weight: bool) -> None:
        layer.cpu_linear = "vLLM's own"

    monkeypatch.setattr(utils, "dispatch_cpu_unquantized_gemm", theirs)
    monkeypatch.setattr(processor, "flags", lambda: frozenset({"fma", "avx2"}))
    return utils


def layer_of(weight):
    """A layer with this matrix."""
    layer = torch.nn.Module()
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


def rounded(rows: int, columns: int):
    """A matrix in float32 whose numbers are those of bfloat16."""
    made = torch.randn(rows, columns, generator=torch.Generator().manual_seed(1)) / 24
    return made.bfloat16().float()


@pytest.mark.parametrize("bias", [False, True])
def test_the_product_is_that_of_float32(utils, bias: bool) -> None:
    half_weights.register()
    weight = rounded(96, 576)
    layer = layer_of(weight)
    utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    assert layer.weight.numel() == 0  # packed, and not kept twice
    rows = torch.randn(40, 576, generator=torch.Generator().manual_seed(2))
    added = torch.arange(96.0) if bias else None
    expected = torch.nn.functional.linear(rows, weight, added)
    for number in (1, 2, 5, 33, 40):
        found = layer.cpu_linear(rows[:number], layer.weight, added)
        assert torch.allclose(found, expected[:number], rtol=1e-5, atol=2e-5)


def test_what_is_compiled_calls_the_same_product(utils) -> None:
    half_weights.register()
    layer = layer_of(rounded(32, 64))
    utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=False)
    assert layer.weight.numel() == 32 * 64  # tied to the embedding
    compiled = torch.compile(
        lambda x: layer.cpu_linear(x, layer.weight, None) * 2, backend="aot_eager", fullgraph=True
    )
    rows = torch.randn(3, 64)
    assert torch.equal(compiled(rows), layer.cpu_linear(rows, layer.weight, None) * 2)


def test_a_layers_weights_go_with_it(utils) -> None:
    half_weights.register()
    gc.collect()
    before = len(half_weights._KEPT)
    layer = layer_of(rounded(32, 64))
    utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    assert len(half_weights._KEPT) == before + 1
    del layer
    gc.collect()
    assert len(half_weights._KEPT) == before


@pytest.mark.parametrize(
    "weight",
    [
        pytest.param(torch.full((4, 4), 0.1), id="more digits than bfloat16 has"),
        pytest.param(torch.full((4, 4), 2.0**17), id="larger than float16 goes"),
        pytest.param(torch.full((4, 4), float("nan")), id="no number"),
        pytest.param(torch.ones(4, 4, dtype=torch.bfloat16), id="another type"),
        pytest.param(torch.ones(2, 4, 4), id="no matrix"),
        pytest.param(torch.ones(4, 4, device="meta"), id="not there"),
    ],
)
def test_other_weights_stay_as_they_are(utils, weight) -> None:
    half_weights.register()
    layer = layer_of(weight)
    utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    assert layer.cpu_linear == "vLLM's own"


def test_it_is_registered_once(utils) -> None:
    half_weights.register()
    ours = utils.dispatch_cpu_unquantized_gemm
    half_weights.register()
    assert utils.dispatch_cpu_unquantized_gemm is ours


@pytest.mark.parametrize("flags", [{"avx2"}, {"avx2", "avx512f"}])
def test_processors_without_bfloat16_take_it(utils, monkeypatch, flags) -> None:
    monkeypatch.setattr(processor, "flags", lambda: frozenset(flags))
    assert half_weights.has_the_path()


@pytest.mark.parametrize("flags", [{"avx2", "avx512f", "avx512_bf16", "amx_bf16"}, {"sse2"}, set()])
def test_vllm_decides_on_other_processors(utils, monkeypatch, flags) -> None:
    monkeypatch.setattr(processor, "flags", lambda: frozenset(flags))
    theirs = utils.dispatch_cpu_unquantized_gemm
    half_weights.register()
    assert utils.dispatch_cpu_unquantized_gemm is theirs
