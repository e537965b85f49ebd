"""What tests of recipes share: prepared data of a few self-written posts, a tiny model, a run."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from imhi.tasks import QUESTIONS
from training.data.example import Example, Origin, Split
from training.data.prepared import write_prepared

POSTS = (
    "I have been awake since four and the rent is due on Friday.",
    "My sister called today, and for the first time this month I laughed.",
    "Work piles up and nobody answers my messages.",
    "We walked along the river. It was quiet, and I was too.",
    "I passed the exam, though I hardly slept for a week.",
    "The new flat is empty, and so are my evenings.",
)
SETS = {"stress": "dreaddit", "depression": "DR", "wellness.social": "MultiWD"}


def examples() -> list[Example]:
    """Three questions on each post; two thirds of the rows train, the first question explained."""
    made = []
    for row, (post, (question_id, name)) in enumerate(itertools.product(POSTS, SETS.items()), 1):
        question = QUESTIONS[question_id]
        split = Split.VAL if row > 12 else Split.TRAIN
        made.append(
            Example(
                post=post,
                question=question,
                label=question.labels[row % len(question.labels)],
                origin=Origin.ANNOTATION if name == "MultiWD" else Origin.REFERENCE,
                set=name,
                split=split,
                source=f"{name}/{split.value}.csv",
                row=row,
                explanation="The post says so." if name == "dreaddit" else None,
            )
        )
    return made


def prepared(folder: Path, rows: list[Example] | None = None) -> Path:
    """Write the examples as `mentalllama-train data prepare` would."""
    write_prepared(
        examples() if rows is None else rows, folder, report={}, duplicates={}, card="# Data\n"
    )
    return folder


def tiny(folder: Path, architecture: str = "LlamaForCausalLM", **changes: Any) -> Path:
    """A random model of an architecture: its configuration and its weights, without a tokenizer."""
    import torch
    import transformers

    kind = getattr(transformers, architecture)
    shape: dict[str, Any] = {
        "vocab_size": 96,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "pad_token_id": None,
    } | changes
    torch.manual_seed(3)
    kind(kind.config_class(**shape)).save_pretrained(folder)
    return folder
