"""Second moments of the inputs of a model's linear layers, on real text.

`training.export.fold` weighs its cut with them: an error in a direction that texts never take costs
nothing, one in a direction that all of them take costs most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def collect_moments(model: Any, texts: Iterable[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Run a model on texts and collect E[x x^T] of every linear layer's inputs.

    The first token of each text is left out: its activations are hundreds of times larger than all
    others' and the same whatever the text (Sun et al., "Massive Activations in Large Language
    Models", arXiv 2402.17762).

    Args:
        model: a causal language model of transformers, in float32.
        texts: tokens of each, run one by one; at least one of two tokens or more.

    Returns:
        Name of the layer's weight to a float32 matrix, inputs by inputs. Layers with the same
        inputs (the query, key and value of one attention) have equal ones. The output layer is
        left out: its weight is mostly the embedding's.
    """
    import torch

    head = model.get_output_embeddings()
    layers = {
        f"{name}.weight": module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    sums = {
        name: torch.zeros(layer.in_features, layer.in_features) for name, layer in layers.items()
    }
    tokens = 0

    def watch(name: str) -> Any:
        def add(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            rows = inputs[0][:, 1:].reshape(-1, inputs[0].shape[-1]).float()
            sums[name].addmm_(rows.T, rows)

        return add

    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    try:
        with torch.inference_mode():
            for text in texts:
                tokens += len(text) - 1
                model.base_model(input_ids=torch.tensor([list(text)]), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return {name: value / tokens for name, value in sums.items()}
