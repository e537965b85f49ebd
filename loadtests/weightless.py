"""A model of Llama-2-7B's shape without weights, for measurements of speed on a GPU; or a tiny one.

    python -m loadtests.weightless --output DIR [--shape tiny]
    python -m loadtests.suite --model DIR --options '--load-format dummy …' …

What a forward pass costs does not depend on what the weights are, and vLLM makes random ones for
`--load-format dummy`: speed on a real size can be measured where no model hub can be reached. What
such a model writes is noise that seldom ends before the longest length allowed; its labels mean
nothing, and its manifest says so. The tiny one costs next to nothing, so that what is measured is
all that the service does around a model: 100,000 posts are some minutes.

The tokenizer is the embedded model's, cut to as many tokens as Llama 2 has: byte-pair merges are in
the order of their tokens, so the first merges of a larger vocabulary are a smaller one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from imhi.tasks import WORDING_VERSION
from loadtests.needed import Shape
from loadtests.paper import LLAMA_2_7B
from service.analysis.manifest import Manifest, PromptStyle, write_manifest
from service.cli.failures import failures_reported
from service.cli.terminal import notice, output
from service.models import EMBEDDED_BASE, resolve_model
from training.files import write_text


class Size(StrEnum):
    """How large a model."""

    LLAMA_2_7B = "llama-2-7b"
    TINY = "tiny"


SHAPES: Mapping[Size, Shape] = {
    Size.LLAMA_2_7B: LLAMA_2_7B,
    Size.TINY: Shape(
        layers=1, hidden=64, inner=128, heads=2, kv_heads=1, head=32, vocabulary=49_152
    ),
}
CONTEXT = 4096
"""Llama 2's, in tokens."""


def write_model(directory: Path, source: Path, shape: Shape, name: str) -> None:
    """Write everything of a model but its weights; files of the same names are replaced.

    Args:
        directory: made where it is not there.
        source: a model whose byte-pair tokenizer has at least as many tokens.
        shape: of the model.
        name: of the shape.
    """
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    directory.mkdir(parents=True, exist_ok=True)
    full = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    write_text(directory / "tokenizer.json", json.dumps(cut(full, shape.vocabulary)))
    end = json.loads((source / "config.json").read_text(encoding="utf-8"))["eos_token_id"]
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"))
    tokenizer.eos_token = tokenizer.pad_token = tokenizer.convert_ids_to_tokens(end)
    tokenizer.save_pretrained(directory)
    config = LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head,
        max_position_embeddings=CONTEXT,
        bos_token_id=end,
        eos_token_id=end,
        dtype="bfloat16",
    )
    config.save_pretrained(directory)
    manifest = Manifest(
        schema_version=1,
        name=f"{name}-without-weights",
        prompt_style=PromptStyle.BARE,
        wording_version=WORDING_VERSION,
        notes="Without weights, for measurements of speed alone: its labels mean nothing.",
    )
    write_manifest(directory, manifest)


def cut(tokenizer: dict[str, Any], tokens: int) -> dict[str, Any]:
    """The first tokens of a byte-pair tokenizer, and the merges that lead to them.

    Args:
        tokenizer: as in `tokenizer.json`.
        tokens: how many are left.
    """
    model = tokenizer["model"]
    vocabulary = {text: number for text, number in model["vocab"].items() if number < tokens}
    merges = [pair for pair in model["merges"] if _merged(pair) in vocabulary]
    added = [one for one in tokenizer["added_tokens"] if one["id"] < tokens]
    return {
        **tokenizer,
        "added_tokens": added,
        "model": {**model, "vocab": vocabulary, "merges": merges},
    }


def _merged(pair: str | list[str]) -> str:
    return "".join(pair.split(" ") if isinstance(pair, str) else pair)


def main(
    folder: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder for the model.")],
    size: Annotated[Size, typer.Option("--shape", help="How large.")] = Size.LLAMA_2_7B,
) -> None:
    """Write a model without weights."""
    with failures_reported():
        source = Path(resolve_model(EMBEDDED_BASE, announce=notice).path)
        write_model(folder, source, SHAPES[size], size)
        output().print(f"Written: {folder}; serve it with --load-format dummy")


if __name__ == "__main__":
    typer.run(main)
