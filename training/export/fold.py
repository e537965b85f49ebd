"""Full fine-tuning folded into a low-rank adapter.

Two models of one architecture go in, the base and the one that was trained from it. For every
matrix the difference is cut to its largest singular values, U S V^T = trained - base, and kept as
the two factors of a LoRA adapter, B = U sqrt(S) and A = sqrt(S) V^T, with alpha equal to the rank,
so that base + B A is the closest matrix of that rank (Eckart and Young 1936). In float8 (e4m3:
three bits after the leading one) factors take half the bytes of bfloat16 and so have twice the
rank; each is multiplied by a power of two that puts it into the type's range, and alpha divided by
it. Rounding cost 0.14% of what was kept where it was measured, on nine matrices of the embedded
model at rank 80. Normalisation weights are vectors and small: they are kept whole, as
`modules_to_save`. What cannot be kept (a bias, say) is counted in the report.

With `moments`, E[x x^T] of each matrix's inputs x on real posts, what is minimised is not the
difference of the matrices but that of their outputs, E |(trained - base - B A) x|^2: the singular
values are those of (trained - base) M^(1/2), and A is taken back by M^(-1/2). Between matrices the
outputs' change counts relative to their size, E |trained x|^2: layers write on very unlike scales.

A budget in bytes is given out by singular value: the one that explains most for its size first,
whatever matrix it belongs to. Every matrix then has a rank of its own.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import ModelFilesError, UsageError
from training.export.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from training.export.weights import Part, Weights, parts, skeleton

if TYPE_CHECKING:
    import torch

_PREFIX = "base_model.model."
_FLOAT8_MOST = 448.0
_HEADER = 400  # bytes, at most, that a matrix takes beside its numbers: names, shapes, its rank
_DAMPING = 1e-4


@dataclass(frozen=True, slots=True)
class Folded:
    """One tensor's difference and what is left of it.

    Attributes:
        name: of the tensor.
        part: what it is the weight of.
        rank: of the factors; None where the tensor is kept whole or not at all.
        norm: squared Frobenius norm of the difference.
        kept: share of that norm that the adapter reproduces, as it is rounded; below 0 where it
            adds error.
        kept_output: the same share of the outputs' squared difference; None without moments.
        scaling: what the factors' product is multiplied by: alpha over the rank.
    """

    name: str
    part: Part
    rank: int | None
    norm: float
    kept: float
    kept_output: float | None = None
    scaling: float = 1.0


@dataclass(frozen=True, slots=True)
class FoldReport:
    """What a fold kept.

    Attributes:
        layers: every tensor that differs.
        kept: share of the squared norm of all differences that the adapter reproduces.
        lost: the share of it that is lost, by what the tensors are the weights of.
        size: bytes of the adapter's weights.
        weighted: whether moments were used.
    """

    layers: tuple[Folded, ...]
    kept: float
    lost: Mapping[Part, float]
    size: int
    weighted: bool


class FactorType(StrEnum):
    """What the factors' numbers are kept in."""

    BFLOAT16 = "bfloat16"
    FLOAT8 = "float8"

    @property
    def bytes(self) -> int:
        """Of one number."""
        return 1 if self is FactorType.FLOAT8 else 2


@dataclass(frozen=True, slots=True)
class Limit:
    """How large an adapter may be: a rank or a size, one of the two.

    Attributes:
        rank: of every matrix.
        size: bytes of its weights.
        factors: type of the factors' numbers.

    Raises:
        UsageError: both, none, or one that is not above 0.
    """

    rank: int | None = None
    size: int | None = None
    factors: FactorType = FactorType.BFLOAT16

    def __post_init__(self) -> None:
        if (self.rank is None) == (self.size is None):
            raise UsageError("Give either --fold-rank or --max-megabytes.")
        if (self.rank or self.size or 0) < 1:
            raise UsageError("--fold-rank and --max-megabytes must be above 0.")


Progress = Callable[[int, int], None]
"""Told how much is done, and how much there is."""

Moments = Mapping[str, "torch.Tensor"]
"""Name of a linear layer's weight to E[x x^T] of its inputs, float32, inputs by inputs."""


def fold(
    base: Path,
    tuned: Path,
    output: Path,
    limit: Limit,
    *,
    base_name: str | None = None,
    moments: Moments | None = None,
    progress: Progress = lambda done, total: None,
) -> FoldReport:
    """Write the adapter that makes the tuned model of the base, nearly.

    Args:
        base: directory of the base model.
        tuned: directory of the model that was trained from it, best in float32.
        output: directory to write `adapter_config.json` and `adapter_model.safetensors` into.
        limit: how large the adapter may be.
        base_name: what the adapter calls its base; never a path.
        moments: second moments of inputs; layers that are not named are not weighted.
        progress: told how many tensors are done, and how many there are; twice where a size is
            given, since it is given out first.

    Raises:
        ModelFilesError: the two are not of one architecture, or do not differ.
        UsageError: nothing fits the size.
    """
    from safetensors.torch import save_file

    before, after = Weights.of(base), Weights.of(tuned)
    kinds = _same_architecture(before, after)
    moments = moments or {}
    if limit.rank is not None:
        ranks = {name: limit.rank for name, kind in kinds.items() if _is_matrix(kind)}
    else:
        ranks = _given_out(before, after, kinds, limit, moments, progress)

    tensors: dict[str, torch.Tensor] = {}
    layers: list[Folded] = []
    for done, (name, kind) in enumerate(kinds.items(), 1):
        progress(done, len(kinds))
        delta = after.tensor(name) - before.tensor(name)
        norm = float(delta.square().sum())
        if norm == 0:
            continue
        module = name.removesuffix(".weight")
        if kind is Part.NORM:
            tensors[f"{_PREFIX}{name}"] = after.tensor(name)
            layers.append(Folded(name, kind, None, norm, 1.0))
        elif _is_matrix(kind) and ranks.get(name, 0):
            factors = _factors(delta, ranks[name], moments.get(name), limit.factors)
            down, up = factors.down, factors.up
            left = delta - factors.scaling * up.float() @ down.float()
            root = _root(moments[name])[0] if name in moments else None
            layers.append(
                Folded(
                    name,
                    kind,
                    down.shape[0],
                    norm,
                    1 - float(left.square().sum()) / norm,
                    None
                    if root is None
                    else 1 - float((left @ root).square().sum() / (delta @ root).square().sum()),
                    factors.scaling,
                )
            )
            tensors |= _named(module, kind, down, up)
        else:
            layers.append(Folded(name, kind, None, norm, 0.0))
    if not tensors:
        raise ModelFilesError(f"{tuned} does not differ from its base: there is nothing to fold.")
    save_file(tensors, output / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = _config(layers, base_name)
    (output / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return _report(layers, (output / ADAPTER_WEIGHTS).stat().st_size, weighted=bool(moments))


def _is_matrix(part: Part) -> bool:
    return part in (Part.LINEAR, Part.EMBEDDING)


def _same_architecture(before: Weights, after: Weights) -> dict[str, Part]:
    """What each tensor of both models is.

    Raises:
        ModelFilesError: they are not of one architecture.
    """
    model = skeleton(after.directory)
    known = parts(model)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    other = skeleton(before.directory)
    if shapes != {name: tuple(value.shape) for name, value in other.state_dict().items()}:
        raise ModelFilesError(
            f"{after.directory} and its base {before.directory} are not of one architecture: name "
            "the model that the training started from with --base."
        )
    # Of tied weights a directory holds one; both hold the same one, as one architecture writes it.
    names = sorted(set(before.files) & set(after.files))
    if set(before.files) != set(after.files) or not set(names) <= set(known):
        raise ModelFilesError(
            f"{after.directory} and its base {before.directory} do not hold the same tensors: save "
            "both with the same version of transformers."
        )
    return {name: known[name] for name in names}


@dataclass(frozen=True, slots=True)
class _Factors:
    """A, rank by inputs, and B, outputs by rank; the change is `scaling` times B A."""

    down: torch.Tensor
    up: torch.Tensor
    scaling: float


def _factors(
    delta: torch.Tensor, rank: int, moment: torch.Tensor | None, kind: FactorType
) -> _Factors:
    import torch

    root, inverse = _root(moment) if moment is not None else (None, None)
    left, values, right = torch.linalg.svd(
        delta @ root if root is not None else delta, full_matrices=False
    )
    rank = min(rank, len(values))
    half = values[:rank].sqrt()
    down = half[:, None] * right[:rank]
    if inverse is not None:
        down = down @ inverse
    up = left[:, :rank] * half
    if kind is FactorType.BFLOAT16:
        return _Factors(down.to(torch.bfloat16), up.to(torch.bfloat16), 1.0)
    sizes = [2.0 ** math.floor(math.log2(_FLOAT8_MOST / float(m.abs().max()))) for m in (down, up)]
    down, up = (
        (matrix * size).to(torch.float8_e4m3fn)
        for matrix, size in zip((down, up), sizes, strict=True)
    )
    return _Factors(down, up, 1 / (sizes[0] * sizes[1]))


def _root(moment: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The symmetric square root of a second moment and its inverse.

    A part of the mean is added to the diagonal: directions that the posts never showed count a
    little too.
    """
    import torch

    size = moment.shape[0]
    damped = moment.double() + _DAMPING * moment.diagonal().double().mean() * torch.eye(size)
    values, vectors = torch.linalg.eigh(damped)
    roots = values.clamp_min(values.max() * 1e-12).sqrt()
    whole = (vectors * roots) @ vectors.T
    inverse = (vectors / roots) @ vectors.T
    return whole.float(), inverse.float()


def _given_out(
    before: Weights,
    after: Weights,
    kinds: Mapping[str, Part],
    limit: Limit,
    moments: Moments,
    progress: Progress,
) -> dict[str, int]:
    """Each matrix's rank, so that all factors fit into the limit's bytes.

    Raises:
        UsageError: not one fits.
    """
    import torch

    offers: list[tuple[float, int, str]] = []
    left = limit.size or 0
    for done, (name, kind) in enumerate(kinds.items(), 1):
        progress(done, len(kinds))
        delta = after.tensor(name) - before.tensor(name)
        if not bool(delta.any()):
            continue
        if kind is Part.NORM:
            left -= delta.numel() * 4 + _HEADER
        elif _is_matrix(kind):
            unit = 1.0
            if name in moments:
                root = _root(moments[name])[0]
                delta = delta @ root
                unit = float((after.tensor(name) @ root).square().sum())
            price = sum(delta.shape) * limit.factors.bytes
            values = torch.linalg.svdvals(delta).square() / unit
            offers += [(float(value) / price, price, name) for value in values]
    ranks: Counter[str] = Counter()
    for _, price, name in sorted(offers, reverse=True):
        whole = price if ranks[name] else price + _HEADER
        if whole <= left:
            left -= whole
            ranks[name] += 1
    if not any(ranks.values()):
        raise UsageError(f"Nothing fits into {limit.size} bytes: raise --max-megabytes.")
    return {name: rank for name, rank in ranks.items() if rank}


def _named(
    module: str, part: Part, down: torch.Tensor, up: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The factors under the names that PEFT gives them."""
    stem = _PREFIX + module
    if part is Part.EMBEDDING:
        # An embedding is stored as tokens by features; PEFT's product is the other way round.
        return {
            f"{stem}.lora_embedding_A": up.T.contiguous(),
            f"{stem}.lora_embedding_B": down.T.contiguous(),
        }
    return {
        f"{stem}.lora_A.weight": down.contiguous(),
        f"{stem}.lora_B.weight": up.contiguous(),
    }


def _config(layers: list[Folded], base_name: str | None) -> dict[str, object]:
    """`adapter_config.json`, as PEFT reads it."""
    ranks = {layer.name.removesuffix(".weight"): layer.rank for layer in layers if layer.rank}
    usual = Counter(ranks.values()).most_common(1)[0][0] if ranks else 1
    own = {module: rank for module, rank in ranks.items() if rank != usual}
    alphas = {
        layer.name.removesuffix(".weight"): layer.rank * layer.scaling
        for layer in layers
        if layer.rank and (layer.rank != usual or layer.scaling != 1)
    }
    whole = sorted(
        {layer.name.removesuffix(".weight") for layer in layers if layer.part is Part.NORM}
    )
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": usual,
        "lora_alpha": usual,
        "rank_pattern": own,
        "alpha_pattern": alphas,
        "target_modules": list(ranks),
        "modules_to_save": whole or None,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }


def _report(layers: list[Folded], size: int, *, weighted: bool) -> FoldReport:
    total = sum(layer.norm for layer in layers)
    lost = {
        part: sum(layer.norm * (1 - layer.kept) for layer in layers if layer.part is part) / total
        for part in Part
        if any(layer.part is part for layer in layers)
    }
    return FoldReport(tuple(layers), 1 - sum(lost.values()), lost, size, weighted)
