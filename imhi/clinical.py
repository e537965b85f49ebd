"""Words of clinical reports, which no explanation speaks in unless the post itself does.

"This supports the diagnosis of …" says of a person what nothing here can know. The words are kept
out of what is generated (`service.analysis.quotation`) and are counted where others wrote
(`training.evaluate.faults`).
"""

from __future__ import annotations

import re

STEMS = (
    "diagn",
    "misdiagn",
    "undiagn",
    "prognos",
    "patholog",
    "comorbid",
    "clinical",
    "symptomatic",
    "patient",
    "criteri",
)
"""How such words begin. "Patient" may be the adjective, and is kept out too."""

_WORDS = re.compile(rf"(?<!\w)(?:{'|'.join(STEMS)})", re.IGNORECASE)


def clinical_stems(text: str) -> frozenset[str]:
    """Return the stems of `STEMS` that words of `text` begin with."""
    return frozenset(match[0].casefold() for match in _WORDS.finditer(text))
