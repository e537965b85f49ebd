"""BERTScore: how far the tokens of two texts match in an encoder's space.

Pairs of texts go in, precision, recall and F1 a pair come out (Zhang et al., arXiv 1904.09675,
section 3): both texts are encoded, every token is matched with the most similar token of the other
text by the cosine of their vectors, and the mean over the candidate's tokens is the precision, over
the reference's the recall. Without idf weights and without rescaling to a baseline; tokens that a
tokenizer adds (`[CLS]`, `[SEP]`) are neither matched nor counted.

Written here because bert-score 0.3.13 does not run on transformers 5, and torchmetrics 1.9 gives
pairs of more than one row the embeddings of other rows: it sorts both sides by length and does not
undo the sorting (four pairs scored together and one by one gave different figures).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from training.errors import UsageError
from training.evaluate.pretrained import Kind, Pretrained, load_pretrained, score_in_batches

MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class PairScore:
    """Cosines: from -1 to 1, in practice above 0."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Encoder:
    """A model whose hidden states are compared.

    Attributes:
        pretrained: the model.
        layer: which hidden states: 0 are the embeddings, the number of layers the last ones.
    """

    pretrained: Pretrained
    layer: int


def load_encoder(
    source: str | Path, *, layer: int | None = None, device: str | None = None
) -> Encoder:
    """Load an encoder.

    Args:
        source: a directory or a hub id of any model that `AutoModel` loads.
        layer: the layer to compare; None for the last. The paper chose a layer a model (17 of 24
            for roberta-large, 9 of 12 for bert-base): figures of other layers are not comparable.
        device: None for the first GPU, or the CPU where there is none.

    Raises:
        ModelFilesError: it cannot be loaded.
        UsageError: it has no such layer.
    """
    pretrained = load_pretrained(source, Kind.ENCODER, device=device, max_tokens=MAX_TOKENS)
    layers = int(pretrained.model.config.num_hidden_layers)
    if layer is None:
        layer = layers
    if not 0 <= layer <= layers:
        raise UsageError(f"`{pretrained.name}` has the layers 0 to {layers}, not {layer}.")
    return Encoder(pretrained, layer)


def score_pairs(
    encoder: Encoder,
    candidates: Sequence[str],
    references: Sequence[str],
    *,
    batch_size: int = 16,
    on_scored: Callable[[int], None] | None = None,
) -> list[PairScore]:
    """Score each candidate against its reference.

    Args:
        encoder: what to compare with.
        candidates: the texts to score; one without a token scores 0.
        references: one a candidate.
        batch_size: pairs that are encoded at a time; it does not change the scores beyond rounding.
        on_scored: called with the number of pairs after each batch.

    Returns:
        The scores in the order of the pairs.
    """
    return score_in_batches(
        partial(_score_batch, encoder),
        candidates,
        references,
        batch_size=batch_size,
        on_scored=on_scored,
    )


def _score_batch(encoder: Encoder, candidates: list[str], references: list[str]) -> list[PairScore]:
    import torch

    with torch.inference_mode():
        said, is_said = _encode(encoder, candidates)
        given, is_given = _encode(encoder, references)
        # (pairs, candidate tokens, reference tokens); what is no token can be nobody's match.
        cosines = torch.einsum("bcd,brd->bcr", said, given)
        cosines = cosines.masked_fill(~(is_said[:, :, None] & is_given[:, None, :]), -2.0)
        precision = _mean(cosines.amax(dim=2), is_said)
        recall = _mean(cosines.amax(dim=1), is_given)
    scores = []
    counts = zip(is_said.any(1).tolist(), is_given.any(1).tolist(), strict=True)
    for p, r, (any_said, any_given) in zip(
        precision.tolist(), recall.tolist(), counts, strict=True
    ):
        if not (any_said and any_given):
            scores.append(PairScore(0.0, 0.0, 0.0))
            continue
        # A harmonic mean says nothing of numbers that are not positive.
        scores.append(PairScore(p, r, 2 * p * r / (p + r) if p > 0 and r > 0 else 0.0))
    return scores


def _encode(encoder: Encoder, texts: list[str]) -> tuple[Any, Any]:
    """Unit vectors (texts, tokens, hidden size), and which of them are tokens of the text."""
    import torch

    pretrained = encoder.pretrained
    tokens = pretrained.tokenizer(
        texts,
        padding=True,
        truncation=True,
        max_length=pretrained.max_tokens,
        return_special_tokens_mask=True,
        return_tensors="pt",
    ).to(pretrained.device)
    mask = tokens["attention_mask"]
    states = pretrained.model(
        input_ids=tokens["input_ids"], attention_mask=mask, output_hidden_states=True
    ).hidden_states[encoder.layer]
    vectors = torch.nn.functional.normalize(states.float(), dim=-1)
    return vectors, mask.bool() & ~tokens["special_tokens_mask"].bool()


def _mean(values: Any, mask: Any) -> Any:
    """Mean over the tokens of each text, (texts,)."""
    return (values * mask).sum(1) / mask.sum(1).clamp(min=1)
