"""Loads the encoder of BERTScore and the seq2seq model of BARTScore.

A directory or a hub id goes in, weights in float32 on a device and their tokenizer come out, or a
`ModelFilesError` that says why not: a figure then is "not measured" with that reason. Weights are
read from safetensors alone, since pickle files can run code, and a model in which weights are
missing is refused: with random ones it would still give plausible figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from training.errors import ModelFilesError

_NO_LIMIT = 1_000_000
"""Tokenizers without a limit say a larger number than this."""

# Heads that some checkpoints have and others lack; no score reads them.
_UNUSED = ("pooler.",)


class Kind(StrEnum):
    """What a model is loaded as: the name of the transformers class."""

    ENCODER = "AutoModel"
    SEQ2SEQ = "AutoModelForSeq2SeqLM"


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A model ready to score.

    Attributes:
        name: the hub id, or the last folder of the directory: never a path.
        model: a transformers model in evaluation mode.
        tokenizer: its tokenizer, which pads on the right.
        device: where the model is, such as `cpu`.
        max_tokens: most tokens of a text that are read; what is longer is cut at the end.
    """

    name: str
    model: Any
    tokenizer: Any
    device: str
    max_tokens: int


def load_pretrained(
    source: str | Path, kind: Kind, *, device: str | None = None, max_tokens: int
) -> Pretrained:
    """Load a model and its tokenizer.

    Args:
        source: a directory, or an id on the model hub.
        kind: what to load it as.
        device: where to put it; None for the first GPU, or the CPU where there is none.
        max_tokens: most tokens of a text to read; fewer where the model takes fewer.

    Raises:
        ModelFilesError: it cannot be loaded, or not whole.
    """
    import torch
    import transformers

    directory = Path(source)
    name = directory.resolve().name if directory.is_dir() else str(source)
    if directory.is_absolute() and not directory.is_dir():
        raise ModelFilesError(f"There is no directory `{directory.name}` at the path given.")
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        model, report = getattr(transformers, kind.value).from_pretrained(
            source, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        model = model.to(chosen).eval()
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ModelFilesError(
            f"`{name}` could not be loaded ({type(error).__name__}). Give a directory or a hub id "
            "with a configuration, a tokenizer and safetensors weights that this installation of "
            "transformers can read."
        ) from error
    missing = [key for key in report["missing_keys"] if not key.startswith(_UNUSED)]
    if missing or report["mismatched_keys"]:
        raise ModelFilesError(
            f"`{name}` is not whole as a {kind.value}: {len(missing)} weights are missing and "
            f"{len(report['mismatched_keys'])} have another shape. Give a checkpoint of that kind."
        )
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise ModelFilesError(f"The tokenizer of `{name}` has neither a pad nor an end token.")
    limit = _limit(tokenizer, model.config, max_tokens)
    return Pretrained(name, model, tokenizer, chosen, limit)


Score = TypeVar("Score")


def score_in_batches(
    score: Callable[[list[str], list[str]], list[Score]],
    left: Sequence[str],
    right: Sequence[str],
    *,
    batch_size: int,
    on_scored: Callable[[int], None] | None = None,
) -> list[Score]:
    """Score pairs of texts, those of a like length together: less padding.

    Args:
        score: scores the pairs of a batch, in their order.
        left: the first text of each pair.
        right: the second.
        batch_size: pairs at a time; it does not change the scores beyond rounding.
        on_scored: called with the number of pairs after each batch.

    Returns:
        The scores in the order of the pairs.
    """
    pairs = list(zip(left, right, strict=True))
    scores: dict[int, Score] = {}
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    for first in range(0, len(order), batch_size):
        places = order[first : first + batch_size]
        batch = score([pairs[place][0] for place in places], [pairs[place][1] for place in places])
        scores.update(zip(places, batch, strict=True))
        if on_scored is not None:
            on_scored(len(places))
    return [scores[place] for place in range(len(pairs))]


def _limit(tokenizer: Any, config: Any, max_tokens: int) -> int:
    positions = getattr(config, "max_position_embeddings", None) or _NO_LIMIT
    said = tokenizer.model_max_length
    if said >= _NO_LIMIT and positions < _NO_LIMIT:
        said = positions - 2  # RoBERTa's kind counts positions from 2
    return int(min(max_tokens, said, positions))
