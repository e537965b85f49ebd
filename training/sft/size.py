"""How large a model is, known without its weights.

`measure` reads a model's configuration, builds the model where tensors have shapes and no memory,
and counts; `training.sft.memory` turns the counts into bytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from service.models import EMBEDDED
from training.errors import ModelFilesError, RecipeError
from training.sft.recipe import Recipe
from training.sft.weights import freeze

# SmolLM2-135M's shape, which the embedded model's file has. So the file need not be unpacked first.
_EMBEDDED_SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What of a model decides its memory.

    Attributes:
        architecture: the class's name.
        parameters: numbers in all its weights.
        linear: of these, in linear layers but the output head; what QLoRA keeps in 4 bits.
        trained: numbers that the recipe's method trains.
        layers: transformer layers.
        hidden: width of the residual stream.
        intermediate: width inside the feed-forward part.
        heads: attention heads.
        queries: width of all queries of a token.
        keys: width of all keys of a token.
        vocabulary: tokens.
        context: most positions, or None where the configuration does not say.
    """

    architecture: str
    parameters: int
    linear: int
    trained: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    queries: int
    keys: int
    vocabulary: int
    context: int | None


def measure(recipe: Recipe) -> ModelSize:
    """Count the recipe's model. Of a model on a hub the configuration alone is fetched.

    Raises:
        ModelFilesError: there is no configuration to be had, or transformers does not know it.
        RecipeError: `method.targets` fits no layer.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config = _configuration(recipe.model.base)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (ValueError, AttributeError, TypeError, ImportError) as error:
        raise ModelFilesError(
            f"{recipe.model.base} is no model that can be trained here ({type(error).__name__}): "
            "name a causal language model that this release of transformers knows."
        ) from None
    text = config.get_text_config()
    heads = text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // heads
    linear = _linear_layers(model)
    return ModelSize(
        architecture=type(model).__name__,
        parameters=model.num_parameters(),
        linear=sum(layer.weight.numel() for layer in linear.values()),
        trained=_trained(model, linear, recipe),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        heads=heads,
        queries=heads * head,
        keys=(getattr(text, "num_key_value_heads", None) or heads) * head,
        vocabulary=text.vocab_size,
        context=getattr(text, "max_position_embeddings", None),
    )


def _configuration(base: str) -> Any:
    from transformers import AutoConfig, LlamaConfig

    if base == EMBEDDED:
        return LlamaConfig(**_EMBEDDED_SHAPE)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        return AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise ModelFilesError(
            f"The configuration of {base} cannot be had ({type(error).__name__}): name a directory "
            "with a config.json, or an id on a hub that this machine reaches and that you may "
            "read (`hf auth login`)."
        ) from None


def _linear_layers(model: Any) -> dict[str, Any]:
    """The linear layers by name, without the output head."""
    import torch

    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


def _trained(model: Any, linear: dict[str, Any], recipe: Recipe) -> int:
    method = recipe.method
    if method.kind == "full":
        freeze(model, method.frozen_layers)
        return int(model.num_parameters(only_trainable=True))
    if method.targets == "all-linear":
        chosen = list(linear.values())
    else:
        # As PEFT matches: the whole name, or its end.
        ends = tuple(f".{target}" for target in method.targets)
        chosen = [m for name, m in linear.items() if f".{name}".endswith(ends)]
        _check_targets(linear, method.targets, recipe.model.base)
    trained = sum(method.rank * (layer.in_features + layer.out_features) for layer in chosen)
    if method.train_embeddings:
        tables = {id(t): t for t in (model.get_input_embeddings(), model.get_output_embeddings())}
        trained += sum(table.weight.numel() for table in tables.values() if table is not None)
    return int(trained)


def _check_targets(linear: dict[str, Any], targets: tuple[str, ...], base: str) -> None:
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in linear):
            names = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
            raise RecipeError(
                f"`method.targets`: {base} has no linear layer {target!r}; it has {names}."
            )
