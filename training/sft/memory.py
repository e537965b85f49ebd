"""How much memory a run takes, by estimate, and what to change where that is too much.

The sum is over weights, gradients, the optimizer's state, what the forward pass keeps for the
backward pass, the logits, and what the libraries take. What a layer keeps was counted with
`torch.autograd.graph.saved_tensors_hooks` on transformers 5.19's Llama; a test counts it again. An
estimate is held against free memory before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import combinations

from training.errors import ResourcesError
from training.sft.machine import Machine
from training.sft.recipe import MASKED, Recipe
from training.sft.size import ModelSize

_RUNTIME = {"cpu": 2**30, "cuda": 3 * 2**29}
"""Bytes of libraries, buffers and contexts: 1 GiB on a CPU, 1.5 GiB on a GPU."""
_SLACK = 1.1
"""Factor on all but the weights: blocks that the allocator cannot use."""
_FUSED_LOGITS = 4096
"""Tokens whose logits exist at a time on GPUs, where the head is run in pieces."""
_SUPERVISED = {"all": 1.0, "explanations": 0.5, "answers": 0.1}
"""Share of the tokens that are trained: about 0.4 with IMHI's explanations."""

_ADAPTER_SHARE = 0.01
"""Share of the weights that an adapter of rank 16 on all linear layers adds, roughly."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes on one device; on a CPU, of all processes together.

    Attributes:
        weights: the model, with its copy in bfloat16 where autocast keeps one.
        gradients: of what is trained.
        optimizer: the optimizer's state.
        activations: what the forward pass keeps.
        logits: over the vocabulary, and their gradients.
        overhead: libraries, and what is lost between blocks.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    overhead: int

    @property
    def total(self) -> int:
        """The sum."""
        return sum(getattr(self, part.name) for part in fields(self))


@dataclass(frozen=True, slots=True)
class Setting:
    """What beside the recipe decides the memory.

    Attributes:
        machine: where the run happens.
        processes: how many of them.
        sharded: whether weights, gradients and state are divided among them.
        longest: tokens of the longest sequence; None if the data is not known.
    """

    machine: Machine
    processes: int = 1
    sharded: bool = False
    longest: int | None = None


def estimate(recipe: Recipe, size: ModelSize, setting: Setting) -> MemoryEstimate:
    """Estimate the memory at the widest moment of a step, the end of the forward pass."""
    method, wide = recipe.method, _width(recipe)
    shards = setting.processes if setting.sharded else 1
    weights = size.parameters * wide
    if method.kind == "qlora":
        # 4 bits, and a 32-bit scale for every 64 numbers that is itself kept in 8 (QLoRA, 2023).
        weights = (size.parameters - size.linear) * wide + round(size.linear * 0.516)
    trained_width = wide if method.kind == "full" else 4
    if method.kind != "full":
        weights += size.trained * 4
    gradients = size.trained * trained_width
    optimizer = round(size.trained * _state_bytes(recipe.optimisation.optimizer, trained_width))
    weights, gradients, optimizer = (part // shards for part in (weights, gradients, optimizer))
    if _mixed(recipe):
        weights += size.linear * 2 // (size.layers if shards > 1 else 1)

    tokens = recipe.optimisation.batch_sequences * _length(recipe, setting.longest)
    activations = _activations(recipe, size, setting.longest)
    supervised = tokens * _SUPERVISED[_trained_on(recipe)]
    if setting.machine.device == "cuda":
        supervised = min(supervised, _FUSED_LOGITS)
    # The logits as computed, in float32, their log-softmax and its gradient.
    logits = round(supervised * size.vocabulary * 14)
    parts = [weights, gradients, optimizer, activations, logits]
    overhead = round((sum(parts) - weights) * (_SLACK - 1)) + _RUNTIME[setting.machine.device]
    parts.append(overhead)
    if setting.machine.device == "cpu":
        parts = [part * setting.processes for part in parts]
    return MemoryEstimate(*parts)


def kept_by_layer(recipe: Recipe, size: ModelSize, length: int) -> int:
    """Bytes that one transformer layer keeps of one token for the backward pass.

    Args:
        recipe: its attention and its precision count.
        size: the model's.
        length: tokens of the sequence; attention that keeps its scores keeps one for each.
    """
    mixed = _mixed(recipe)
    narrow = 2 if mixed else _width(recipe)
    attention = 4 * size.queries + (4 * size.keys if size.keys < size.queries else 0)
    kept = narrow * (4 * size.hidden + attention + 4 * size.intermediate)
    kept += 8 * size.hidden  # the norms' input in float32
    if mixed:
        kept += 10 * size.hidden  # the residual stream stays in float32
    # `eager` keeps the softmax in float32, and once more in bfloat16.
    scores = {"eager": 6 if narrow == 2 else 4, "grouped": narrow}.get(recipe.model.attention, 0)
    return kept + size.heads * length * scores


def _width(recipe: Recipe) -> int:
    """Bytes of a number of the weights."""
    return 4 if recipe.precision.weights == "float32" else 2


def _mixed(recipe: Recipe) -> bool:
    """Whether products run in bfloat16 while the weights are in float32."""
    return recipe.precision.bf16 and recipe.precision.weights == "float32"


def check(recipe: Recipe, size: ModelSize, setting: Setting) -> None:
    """Refuse a run that does not fit.

    Raises:
        ResourcesError: by estimate; the message names what would make it fit.
    """
    free = setting.machine.free
    needed = estimate(recipe, size, setting).total
    if free is None or needed <= free:
        return
    where = "each GPU" if setting.machine.device == "cuda" else "this machine"
    fitting = [" ".join(pairs) for pairs in _fitting(recipe, size, setting, free)]
    advice = (
        f"Enough would be {', or '.join(fitting)}."
        if fitting
        else "No change of the recipe makes it fit: take a smaller model or a larger machine."
    )
    raise ResourcesError(
        f"By estimate the run needs {gibibytes(needed)} of memory and {where} has "
        f"{gibibytes(free)} free. {advice} With --no-memory-check it runs all the same."
    )


def gibibytes(size: int) -> str:
    """A size in words, such as `2.4 GiB`."""
    return f"{size / 2**30:,.1f} GiB"


def _fitting(recipe: Recipe, size: ModelSize, setting: Setting, free: int) -> list[tuple[str, ...]]:
    """The smallest sets of changes that make a run fit, as they are written on a command line."""
    for count in range(1, len(_changes(recipe, setting, 1)) + 1):
        found: dict[tuple[int, ...], tuple[str, ...]] = {}
        # A batch that is only halved is tried first; of one set of changes the first that fits is.
        for batch in _halves(recipe.optimisation.batch_sequences):
            changes = _changes(recipe, setting, batch)
            for chosen in combinations(range(len(changes)), count):
                if chosen not in found and _fits(
                    recipe, size, setting, free, [changes[place] for place in chosen]
                ):
                    found[chosen] = tuple(changes[place].words for place in chosen)
        if found:
            return [found[chosen] for chosen in sorted(found)][:3]
    return []


def _halves(batch: int) -> list[int]:
    halves = [max(1, batch // 2)]
    while halves[-1] > 1:
        halves.append(halves[-1] // 2)
    return halves


def _fits(
    recipe: Recipe, size: ModelSize, setting: Setting, free: int, changes: Sequence[_Change]
) -> bool:
    changed, at, counted = recipe, setting, size
    for change in changes:
        if change.section:
            section = getattr(changed, change.section).model_copy(update=change.values)
            changed = changed.model_copy(update={change.section: section})
        else:
            at = replace(at, processes=at.machine.devices, sharded=True)
    if recipe.method.kind == "full" != changed.method.kind:
        counted = replace(size, trained=round(size.parameters * _ADAPTER_SHARE))
    return estimate(changed, counted, at).total <= free


@dataclass(frozen=True, slots=True)
class _Change:
    """Values of a section; without a section, as many processes as there are devices."""

    words: str
    section: str = ""
    values: Mapping[str, object] = field(default_factory=dict)


def _changes(recipe: Recipe, setting: Setting, batch: int) -> list[_Change]:
    """What of a recipe needs less memory if changed, the mildest first."""
    how = recipe.optimisation
    cuda = setting.machine.device == "cuda"
    changes = []
    if cuda and setting.machine.devices > setting.processes:
        changes.append(_Change(f"--processes {setting.machine.devices}"))
    if not recipe.precision.gradient_checkpointing:
        changes.append(_set("precision", gradient_checkpointing=True))
    if how.batch_sequences > 1:
        passes = -(-how.batch_sequences * how.gradient_accumulation // batch)
        changes.append(_set("optimisation", batch_sequences=batch, gradient_accumulation=passes))
    if recipe.precision.weights == "float32":
        changes.append(_set("precision", weights="bfloat16"))
    if recipe.method.kind == "full":
        changes.append(_set("method", kind="lora"))
    if recipe.method.kind == "lora" and cuda and recipe.precision.weights == "bfloat16":
        changes.append(_set("method", kind="qlora"))
    return changes


def _set(section: str, **values: object) -> _Change:
    words = (f"{section}.{name}={str(value).lower()}" for name, value in values.items())
    return _Change(" ".join(words), section, values)


def _length(recipe: Recipe, longest: int | None) -> int:
    """Tokens of the longest sequence, as it is padded."""
    most = recipe.data.max_tokens
    if recipe.layout != "packed" and longest is not None:
        # A shared sequence may be longer than `max_tokens`, by its further branches.
        most = longest if recipe.layout == "shared" else min(most, longest)
    return -(-most // recipe.pad_to_multiple_of) * recipe.pad_to_multiple_of


def _trained_on(recipe: Recipe) -> str:
    if recipe.loss.full_text:
        return "all"
    return "explanations" if recipe.data.explanations else "answers"


def _state_bytes(optimizer: str, width: int) -> float:
    """Bytes of the optimizer's state for one trained number."""
    if optimizer == "adafactor":
        return 0.1  # a row and a column for each matrix
    return 2 if optimizer.endswith("8bit") else 2 * width


def _activations(recipe: Recipe, size: ModelSize, longest: int | None) -> int:
    length = _length(recipe, longest)
    rows = recipe.optimisation.batch_sequences
    layer = rows * length * kept_by_layer(recipe, size, length)
    # The mask of who sees whom, as booleans and as the numbers that are added.
    mask = rows * length**2 * 5 if recipe.model.attention in MASKED else 0
    if recipe.precision.gradient_checkpointing:
        # What goes into each layer, and all of the one that is computed again.
        return size.layers * rows * length * size.hidden * _width(recipe) + layer + mask
    return (size.layers + 1) * layer + mask
