"""Products in float32 with weights kept in half precision, where float32 is faster than bfloat16.

On such processors (`service.processor`) a model of bfloat16 is computed in float32: twice the bytes
to read for each step, of which decoding consists. PyTorch brings FBGEMM, whose product keeps the
weights in float16 and multiplies and sums in float32; weights that were bfloat16 are the same
numbers in float16, to within 0.00000003. It is faster than oneDNN's product in float32, most of all
for few rows. The embedded model's layers take, in milliseconds, with AVX2 alone on an AMD EPYC of
2021 and with AVX-512 on an Intel Xeon without bfloat16:

    rows      AVX2: half, oneDNN      AVX-512: half, oneDNN
    1            10.6   16.5               14.8   35.7
    4            13.4   22.8               16.2   34.2
    32             54     62                 40     57
    256           374    399                247    247

On Intel's processors with products of bfloat16 but without AMX, which take it too, it was not
measured.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakValueDictionary

from service import processor

_MARK = "_mentalllama_half"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class _Kept:
    """A function that multiplies by a layer's packed weights; the layer alone keeps it alive."""

    product: Any


_KEPT: WeakValueDictionary[int, _Kept] = WeakValueDictionary()
_NUMBERS = itertools.count()


def register() -> None:
    """Let vLLM's layers take the product; does nothing elsewhere or a second time."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.layers import utils

    theirs = utils.dispatch_cpu_unquantized_gemm
    if getattr(theirs, _MARK, False) or not has_the_path():
        return

    def dispatch(layer: Any, remove_weight: bool) -> None:
        if _were_bfloat16(layer.weight):
            _take(layer, remove_weight)
        else:
            theirs(layer, remove_weight)

    _library()
    setattr(dispatch, _MARK, True)
    utils.dispatch_cpu_unquantized_gemm = dispatch


def has_the_path() -> bool:
    """Whether this processor is better served in float32, and PyTorch has the product for it."""
    import torch

    fits = "avx2" in processor.flags() and processor.prefers_float32()
    return fits and "fbgemm" in torch.backends.quantized.supported_engines


def _were_bfloat16(weight: Any) -> bool:
    """Whether a matrix in float32 holds nothing that float16 could not keep."""
    import torch

    if weight.is_meta or weight.ndim != 2 or weight.dtype != torch.float32:
        return False
    largest = torch.finfo(torch.float16).max
    return bool(torch.equal(weight, weight.bfloat16().float()) and weight.abs().max() <= largest)


def _take(layer: Any, remove_weight: bool) -> None:
    """Pack a layer's weights and compute with them from now on."""
    import torch

    outputs = layer.weight.shape[0]
    scripted = torch.jit.script(_products()(layer.weight.detach()))
    number, kept = next(_NUMBERS), _Kept(scripted.forward)
    # A tensor, so that what is compiled has no number of this process in it.
    handle = torch.tensor(number)
    _KEPT[number] = kept

    def linear(x: Any, weight: Any, bias: Any) -> Any:
        if torch.compiler.is_compiling():
            out = torch.ops.mentalllama.half_linear(x, handle, outputs)
        else:
            out = kept.product(x)
        return out if bias is None else out + bias

    layer.cpu_linear = linear
    if remove_weight:
        layer.weight = torch.nn.Parameter(layer.weight.new_empty(0), requires_grad=False)


@cache
def _products() -> type:
    """A module that multiplies by a matrix; one for all layers, so that it is made a script once.

    As a script it is called in 10 microseconds, for 30 from Python: packed weights are no tensor,
    and PyTorch looks for a way to call operators on such at each call. There are 121 in a step.
    """
    import torch

    class Product(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, weight: Any) -> None:
            super().__init__()
            self.packed = torch.ops.quantized.linear_prepack_fp16(weight, None)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ops.quantized.linear_dynamic_fp16(x, self.packed)

    return Product


@cache
def _library() -> Any:
    """The product as an operator that the compiler leaves as it is."""
    import torch

    def compute(x: Any, handle: Any, outputs: int) -> Any:
        return _KEPT[handle.item()].product(x)

    def shape(x: Any, handle: Any, outputs: int) -> Any:
        return x.new_empty((*x.shape[:-1], outputs))

    library = torch.library.Library("mentalllama", "DEF")
    library.define("half_linear(Tensor x, Tensor handle, int outputs) -> Tensor")
    library.impl("half_linear", compute, "CPU")
    torch.library.register_fake("mentalllama::half_linear", shape, lib=library)
    return library
