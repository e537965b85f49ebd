"""The paper's main table, to stand beside ours.

Weighted F1 in percent on the test sets, from MentaLLaMA (Yang et al., WWW 2024, arXiv 2309.13567).
The paper's checkpoints answer in free form. Cells that could not be checked against the paper are
left out, not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imhi.tasks import DATASETS

CITATION = "Yang et al., WWW 2024, arXiv 2309.13567"


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A model in the paper's table.

    Attributes:
        model: its name there.
        weighted_f1: set id to weighted F1 in percent, on the test set.
    """

    model: str
    weighted_f1: Mapping[str, float]


_COLUMNS = ("CAMS", "CLP", "DR", "dreaddit", "IRF", "loneliness", "MultiWD", "SAD", "SWMH", "T-SID")


def _row(model: str, *cells: float | None) -> PaperRow:
    by_set = dict(zip(_COLUMNS, cells, strict=True))
    known = {set_id: by_set[set_id] for set_id in DATASETS}
    return PaperRow(model, {set_id: one for set_id, one in known.items() if one is not None})


# fmt: off
PAPER: tuple[PaperRow, ...] = (
    _row("MentalRoBERTa", 47.62, 69.71, 94.23, 81.76, None, 85.33, None, 68.44, 72.16, 89.01),
    _row("MentalBERT", None, 62.63, 94.62, 80.04, 76.73, None, None, None, 71.11, 88.61),
    _row("LLaMA2-7B, zero-shot",
         16.34, 36.26, 58.91, 53.51, 38.02, 58.32, 40.10, 11.04, 37.33, 25.55),
    _row("ChatGPT, zero-shot",
         33.85, 56.31, 82.41, 71.79, 41.33, 58.40, 62.72, 54.05, 49.32, 33.30),
    _row("MentaLLaMA-7B", 32.52, 59.86, 76.14, 71.65, 67.53, 83.52, 68.44, 49.93, 72.51, 72.64),
    _row("MentaLLaMA-chat-7B",
         44.80, 51.84, 83.95, 62.20, 72.88, 83.71, 75.79, 62.18, 75.58, 77.74),
    _row("MentaLLaMA-chat-13B",
         45.52, 52.61, 85.68, 75.79, 76.49, 85.10, 75.11, 63.62, 71.70, 75.31),
)
# fmt: on
"""The rows, discriminative models first."""
