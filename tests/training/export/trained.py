"""A tiny base model, and models made of it by known changes."""

from __future__ import annotations

from pathlib import Path

from tests.models import tiny_llama
from tests.tokenizers import word_tokenizer
from training.export.merge import copy_tokenizer, load_model, save_model

RANK = 3


def make_base(directory: Path, *, tied: bool = False) -> Path:
    """A random Llama; `tied`: its output layer is its embedding."""
    tiny_llama(directory, word_tokenizer())
    if tied:
        model = load_model(directory)
        model.config.tie_word_embeddings = True
        model.tie_weights()
        model.save_pretrained(directory)
    return directory


def make_tuned(directory: Path, base: Path, *, rank: int = RANK, embeddings: bool = True) -> Path:
    """The base with a change of a known rank in every matrix, and one in every norm."""
    import torch

    model = load_model(base)
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
        elif embeddings or not ("embed" in name or "head" in name):
            up = torch.randn(parameter.shape[0], rank, generator=generator)
            down = torch.randn(rank, parameter.shape[1], generator=generator)
            parameter.data += 0.03 * up @ down
    save_model(model, directory, "float32")
    copy_tokenizer(base, directory)
    return directory
