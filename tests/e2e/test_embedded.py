"""The embedded model's own words, on the real engine."""

from __future__ import annotations

import pytest

from imhi.clinical import clinical_stems
from tests.e2e.posts import QUOTED

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_an_explanation_quotes_the_post(analyze_embedded):
    answers = analyze_embedded(QUOTED, explanation_tokens=96)["results"][0]["answers"]
    found = [evidence for answer in answers for evidence in answer["evidence"]]
    assert found
    assert all(QUOTED[one["start"] : one["end"]] == one["quote"] for one in found)


def test_an_explanation_speaks_in_no_words_of_clinical_reports(analyze_embedded):
    """On this text the model, left to itself, writes that something "supports the diagnosis of"."""
    text = (
        "My shifts were changed again and I slept three hours. My hands shake when I open the "
        "roster and I snapped at my little brother for nothing."
    )
    body = analyze_embedded(text, tasks=["depression_cause"], explanation_tokens=256)
    (answer,) = body["results"][0]["answers"]
    assert len(answer["explanation"]) > 100
    assert not clinical_stems(answer["explanation"])
