"""The model card."""

from __future__ import annotations

import pytest
import yaml

from imhi.tasks import WORDING_VERSION
from service.analysis.manifest import (
    CalibrationEntry,
    Manifest,
    PromptStyle,
    Result,
    Training,
    TrainingData,
)
from training.export.card import card, refresh_card, write_card

MANIFEST = Manifest(
    schema_version=1,
    name="a: model | with marks",
    base_model="org/base",
    prompt_style=PromptStyle.BARE,
    wording_version=WORDING_VERSION,
    calibration={"stress": CalibrationEntry(temperature=1.25, bias={"yes": -0.5})},
    training=Training(
        data=(TrainingData(name="DR", sha256="a" * 64, rows=1003),), recipe="embedded-135m", seed=7
    ),
    results=(
        Result(
            set="DR",
            split="val",
            metric="ece",
            value=0.0312,
            interval=(0.02, 0.04),
            command="a | b",
        ),
    ),
    licence="Apache-2.0",
    notes="Something to know.",
)


@pytest.mark.parametrize(("adapter", "library"), [(True, "peft"), (False, "transformers")])
def test_the_header_is_what_hugging_face_reads(adapter, library):
    _, header, body = card(MANIFEST, adapter=adapter).split("---\n", 2)
    assert yaml.safe_load(header) == {
        "language": "en",
        "library_name": library,
        "pipeline_tag": "text-generation",
        "base_model": "org/base",
        "base_model_relation": "adapter" if adapter else "finetune",
        "license": "apache-2.0",
        "tags": ["mentalllama", "imhi"],
    }
    assert "not clinical software" in body


def test_a_licence_without_an_identifier_is_named():
    text = card(MANIFEST.model_copy(update={"licence": 'The "own" one'}), adapter=False)
    header = yaml.safe_load(text.split("---\n")[1])
    assert (header["license"], header["license_name"]) == ("other", 'The "own" one')


def test_everything_in_the_manifest_is_on_the_card():
    text = card(MANIFEST, adapter=False)
    for words in (
        "| DR | 1003 | `" + "a" * 64,
        "- recipe: `embedded-135m`",
        "- seed: `7`",
        r"| DR | val | ece | 0.031 | 0.020 to 0.040 | `a \| b` |",
        "| stress | 1.25 | yes -0.50 |",
        "Something to know.",
        f"`{WORDING_VERSION}`",
    ):
        assert words in text, words


def test_what_is_not_known_is_not_there():
    bare = Manifest(
        schema_version=1,
        name="bare",
        prompt_style=PromptStyle.CHAT,
        wording_version=WORDING_VERSION,
    )
    text = card(bare, adapter=False)
    for heading in ("## Training", "## Results", "## Calibration", "base_model", "license"):
        assert heading not in text
    assert "chat template" in text


def test_a_card_that_a_person_wrote_stays(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    assert refresh_card(tmp_path, MANIFEST) is False
    assert (tmp_path / "README.md").read_text() == "mine"
    write_card(tmp_path, MANIFEST)
    assert refresh_card(tmp_path, MANIFEST.model_copy(update={"notes": "Newer."})) is True
    assert "Newer." in (tmp_path / "README.md").read_text()
