"""Which words count as those of clinical reports."""

from __future__ import annotations

import pytest

from imhi.clinical import clinical_stems


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("It supports the diagnosis of it.", {"diagn"}),
        ("DIAGNOSED by a doctor; the Patient's prognosis", {"diagn", "patient", "prognos"}),
        ("an undiagnosed one", {"undiagn"}),
        ("They meet the criteria.", {"criteri"}),
        ("A diagram of symptoms, and an impatient poster.", set()),
        ("", set()),
    ],
)
def test_stems(text: str, stems: set[str]) -> None:
    assert clinical_stems(text) == stems
