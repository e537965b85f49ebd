"""Small random models that tests make: one for each family of tokenizer, and a LoRA adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONTEXT = 4096
"""Tokens that fit into a `tiny_llama`."""
RANK = 4
ALPHA = 16


def tiny_llama(directory: Path, tokenizer: Any) -> Path:
    """A random Llama for `tokenizer`, in float32, whose next-token distributions are not flat.

    It opens a quotation in every second explanation or so: one of its dimensions is the same
    everywhere, and only the quotation marks have weight there in the output.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(2)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            initializer_range=0.12,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=None,
        )
    )
    marks = [number for token, number in tokenizer.get_vocab().items() if token.strip("▁") == '"']
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 1.0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = layer.mlp.down_proj.weight[0] = 0.0
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[marks, 0] = 8.0
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def lora_adapter(directory: Path, model: Path) -> Path:
    """A random LoRA adapter on the attention of a `tiny_llama`, as PEFT writes it."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model)
    head = config.hidden_size // config.num_attention_heads
    generator = torch.Generator().manual_seed(11)
    tensors = {}
    for layer in range(config.num_hidden_layers):
        for name, heads in (
            ("q_proj", config.num_attention_heads),
            ("v_proj", config.num_key_value_heads),
        ):
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{stem}.lora_A.weight"] = (
                torch.randn(RANK, config.hidden_size, generator=generator) * 0.2
            )
            tensors[f"{stem}.lora_B.weight"] = (
                torch.randn(heads * head, RANK, generator=generator) * 0.2
            )
    directory.mkdir()
    save_file(tensors, directory / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(model),
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": ["q_proj", "v_proj"],
        "bias": "none",
        "inference_mode": True,
    }
    (directory / "adapter_config.json").write_text(json.dumps(settings))
    return directory


def merge_adapter(model: Any, adapter: Path) -> None:
    """Add an adapter's product to a transformers model's weights, in place."""
    from safetensors.torch import load_file

    tensors = load_file(adapter / "adapter_model.safetensors")
    for name, down in tensors.items():
        if "lora_A" not in name:
            continue
        up = tensors[name.replace("lora_A", "lora_B")]
        target = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        model.get_submodule(target).weight.data += up @ down * (ALPHA / RANK)
