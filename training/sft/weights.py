"""Weights in and out of a run: the base model, adapters, averages, the finished directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imhi.tasks import WORDING_VERSION
from service.analysis.manifest import Manifest, PromptStyle, Training, write_manifest
from service.models import EMBEDDED, EMBEDDED_BASE, resolve_model
from training.errors import ModelFilesError, RecipeError
from training.sft import attention
from training.sft.recipe import Recipe


def base_path(recipe: Recipe) -> str:
    """Directory or hub id of the model to start from; `embedded` is its untuned base.

    Raises:
        ModelError: it is not there.
    """
    base = recipe.model.base
    return resolve_model(EMBEDDED_BASE if base == EMBEDDED else base).path


def load_tokenizer(base: str) -> Any:
    """The base model's tokenizer, with a padding token.

    Raises:
        ModelFilesError: there is none, or it has no end-of-sequence token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError, ImportError) as error:
        raise ModelFilesError(
            f"The tokenizer of {base} cannot be loaded ({type(error).__name__}): the directory "
            "needs the tokenizer's files beside the weights."
        ) from error
    if tokenizer.eos_token_id is None:
        raise ModelFilesError(
            f"The tokenizer of {base} has no end-of-sequence token, which ends an explanation; "
            "name one in its tokenizer_config.json."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return tokenizer


def load_model(recipe: Recipe, base: str) -> Any:
    """The base model as the recipe wants it, with an adapter where it trains one.

    Raises:
        ModelFilesError: the weights are not safetensors, not whole, or cannot be loaded.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    attention.register()
    options: dict[str, Any] = {}
    if recipe.method.kind == "qlora":
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            base,
            output_loading_info=True,
            dtype=getattr(torch, recipe.precision.weights),
            attn_implementation=recipe.model.attention,
            use_safetensors=True,  # a pickle can run code when it is opened
            **options,
        )
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise ModelFilesError(
            f"The weights of {base} cannot be loaded ({type(error).__name__}). They must be "
            "safetensors of a causal language model that transformers knows."
        ) from error
    if missing := found["missing_keys"]:  # they would be random
        raise ModelFilesError(
            f"{base} is not whole: it lacks {len(missing)} of the model's weights, "
            f"{min(missing)} among them."
        )
    model.config.use_cache = False
    if recipe.method.kind == "full":
        freeze(model, recipe.method.frozen_layers)
        return model
    from peft import get_peft_model, prepare_model_for_kbit_training

    if recipe.method.kind == "qlora":
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=recipe.precision.gradient_checkpointing
        )
    elif recipe.precision.gradient_checkpointing:
        model.enable_input_require_grads()
    return get_peft_model(model, lora_config(recipe))


def layer_stack(model: Any) -> Sequence[Any]:
    """The transformer layers in their order; none where an architecture keeps them elsewhere.

    Args:
        model: a causal language model, wrapped by PEFT or not.
    """
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    return tuple(getattr(inner.base_model, "layers", ()))


def freeze(model: Any, layers: int) -> None:
    """Train neither the first layers nor the embeddings below them; all is trained with 0.

    An output layer that shares the embeddings' weights is frozen with them.

    Raises:
        RecipeError: the model has no more layers than that, or keeps them elsewhere.
    """
    if not layers:
        return
    stack = layer_stack(model)
    if not stack:
        raise RecipeError(
            "`method.frozen_layers`: where this architecture keeps its layers is not known here. "
            "Leave it out, or train an adapter with method.kind=lora."
        )
    if layers >= len(stack):
        raise RecipeError(
            f"`method.frozen_layers` is {layers} and the model has {len(stack)} layers: leave some "
            "to train."
        )
    for module in (model.get_input_embeddings(), *stack[:layers]):
        module.requires_grad_(False)


def lora_config(recipe: Recipe) -> Any:
    """PEFT's configuration of the recipe's adapter."""
    from peft import LoraConfig

    method = recipe.method
    targets = method.targets if method.targets == "all-linear" else list(method.targets)
    return LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=targets,
        modules_to_save=["embed_tokens", "lm_head"] if method.train_embeddings else None,
        task_type="CAUSAL_LM",
    )


def average(checkpoints: Sequence[Path]) -> dict[str, Any]:
    """The mean of the weights of checkpoints, tensor by tensor, in float32.

    Source: stochastic weight averaging, Izmailov et al., arXiv 1803.05407; here of the last
    checkpoints of one run.

    Raises:
        ModelFilesError: a checkpoint holds no safetensors, or the checkpoints differ in tensors.
    """
    total: dict[str, Any] = {}
    for number, checkpoint in enumerate(checkpoints):
        tensors = read_weights(checkpoint)
        if number and tensors.keys() != total.keys():
            raise ModelFilesError(f"{checkpoint} does not hold the tensors of {checkpoints[0]}.")
        for name, tensor in tensors.items():
            value = tensor.float() / len(checkpoints)
            total[name] = total[name] + value if name in total else value
    return total


def read_weights(directory: Path) -> dict[str, Any]:
    """All tensors of the safetensors files in a directory.

    Raises:
        ModelFilesError: there is none.
    """
    from safetensors.torch import load_file

    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise ModelFilesError(f"{directory} holds no safetensors weights.")
    tensors: dict[str, Any] = {}
    for file in files:
        tensors |= load_file(file)
    return tensors


def write_weights(tensors: Mapping[str, Any], directory: Path, like: Path) -> None:
    """Replace a directory's weights by averaged ones, in one file, in the numbers of `like`."""
    from safetensors.torch import save_file

    old = read_weights(like)
    for path in [*directory.glob("*.safetensors"), *directory.glob("*.safetensors.index.json")]:
        path.unlink()  # several files, where the trainer split them
    name = "adapter_model.safetensors" if _is_adapter(like) else "model.safetensors"
    save_file(
        {key: tensor.to(old[key].dtype).contiguous() for key, tensor in tensors.items()},
        directory / name,
        metadata={"format": "pt"},
    )


def _is_adapter(directory: Path) -> bool:
    return (directory / "adapter_config.json").is_file()


def finish(directory: Path, recipe: Recipe, base: str, training: Training) -> None:
    """Write the manifest of a finished model or adapter, and leave no path of this machine in it.

    Args:
        directory: holds the weights.
        recipe: what it was trained with.
        base: what it was trained from.
        training: how.
    """
    config = directory / "config.json"
    if config.is_file():
        values = json.loads(config.read_text(encoding="utf-8"))
        for name in ("_name_or_path", "_model_name_or_path"):
            values.pop(name, None)
        values["use_cache"] = True
        config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    local = Path(base).is_dir()
    write_manifest(
        directory,
        Manifest(
            schema_version=1,
            name=recipe.name,
            base_model=None if local else base,
            prompt_style=PromptStyle(recipe.model.prompt_style),
            wording_version=WORDING_VERSION,
            training=training,
        ),
    )
