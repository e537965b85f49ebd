"""BARTScore: how probable a seq2seq model finds one text, given another.

Pairs of a source and a target go in, one score a pair comes out (Yuan et al., arXiv 2106.11520,
equation 2 with equal weights): the sum of the natural-log probabilities of the target's tokens
given the source and the tokens before, divided by the number of the target's tokens, those included
that the tokenizer adds (`<s>` and `</s>`), as in the authors' own code. Scores are at most 0, and
comparable for one model only.

Which text is the source decides what is measured. The paper of MentalLLaMA scores the reference
given the generated text, with a BART tuned on ParaBank2 that it downloads as a pickle; any
checkpoint that `AutoModelForSeq2SeqLM` loads from safetensors serves here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from training.evaluate.pretrained import Kind, Pretrained, load_pretrained, score_in_batches

DEFAULT_MODEL = "facebook/bart-large-cnn"
MAX_TOKENS = 1024
_IGNORED = -100


def load_scorer(source: str | Path = DEFAULT_MODEL, *, device: str | None = None) -> Pretrained:
    """Load a seq2seq model.

    Args:
        source: a directory or a hub id.
        device: None for the first GPU, or the CPU where there is none.

    Raises:
        ModelFilesError: it cannot be loaded.
    """
    return load_pretrained(source, Kind.SEQ2SEQ, device=device, max_tokens=MAX_TOKENS)


def score_pairs(
    scorer: Pretrained,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    batch_size: int = 4,
    on_scored: Callable[[int], None] | None = None,
) -> list[float]:
    """Score each target given its source.

    Args:
        scorer: the model.
        sources: what is given.
        targets: one a source.
        batch_size: pairs at a time; it does not change the scores beyond rounding.
        on_scored: called with the number of pairs after each batch.

    Returns:
        The scores in the order of the pairs.
    """
    return score_in_batches(
        partial(_score_batch, scorer),
        sources,
        targets,
        batch_size=batch_size,
        on_scored=on_scored,
    )


def _score_batch(scorer: Pretrained, sources: list[str], targets: list[str]) -> list[float]:
    import torch

    given = scorer.tokenizer(
        sources, padding=True, truncation=True, max_length=scorer.max_tokens, return_tensors="pt"
    ).to(scorer.device)
    wanted = scorer.tokenizer(
        text_target=targets,
        padding=True,
        truncation=True,
        max_length=scorer.max_tokens,
        return_tensors="pt",
    ).to(scorer.device)
    # By the mask and not by the pad token, which may be the end token too.
    labels = wanted["input_ids"].masked_fill(wanted["attention_mask"] == 0, _IGNORED)
    with torch.inference_mode():
        logits = scorer.model(
            input_ids=given["input_ids"], attention_mask=given["attention_mask"], labels=labels
        ).logits
        losses = torch.nn.functional.cross_entropy(
            logits.float().transpose(1, 2), labels, reduction="none", ignore_index=_IGNORED
        )
    sums = -losses.sum(dim=1) / wanted["attention_mask"].sum(dim=1).clamp(min=1)
    return [float(score) for score in sums]
