"""The model card: `README.md` of a model's directory, made from its manifest.

Nothing is in it that the manifest, or the directory itself, does not say. A card that a person
wrote is never touched: only one with the mark below is made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from service.analysis.manifest import MANIFEST_FILE, Manifest, PromptStyle, load_manifest
from service.embedded import BASE_MODEL
from service.models import EMBEDDED_BASE
from service.weights import CHECKSUMS_FILE
from training.errors import ModelFilesError
from training.export.files import ADAPTER_CONFIG, write_text

CARD_FILE = "README.md"

_MARK = "<!-- Made from mentalllama.json by `mentalllama-train`; changes here are lost. -->"

# SPDX identifiers that Hugging Face knows under another name; the others in lower case.
_LICENCES = {"apache-2.0": "apache-2.0", "mit": "mit", "bsd-3-clause": "bsd-3-clause"}

_NOTICE = (
    "**This is research software, not clinical software.** An answer is what a model reads in a "
    "text, and never a statement about the person who wrote it. It is not for any decision about a "
    "person, and not for emergencies. A label that is not given means nothing: many texts by "
    "people at risk carry none. If a life may be in danger, call the local emergency number; "
    "<https://findahelpline.com> lists crisis lines by country."
)


def card(manifest: Manifest, *, adapter: bool) -> str:
    """The card's text.

    Args:
        manifest: what the model says of itself.
        adapter: whether the directory holds an adapter and not a whole model.
    """
    return (
        "\n".join([*_header(manifest, adapter=adapter), *_body(manifest, adapter=adapter)]) + "\n"
    )


def write_card(directory: Path, manifest: Manifest) -> None:
    """Write the card, in place of one that is there.

    Raises:
        ModelFilesError: it cannot be written.
    """
    adapter = (directory / ADAPTER_CONFIG).is_file()
    write_text(directory / CARD_FILE, card(manifest, adapter=adapter))


def refresh_card(directory: Path, manifest: Manifest) -> bool:
    """Make a card again that was made here, or that is missing; says whether it was.

    Raises:
        ModelFilesError: it cannot be read or written.
    """
    path = directory / CARD_FILE
    try:
        if path.is_file() and _MARK not in path.read_text(encoding="utf-8"):
            return False
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFilesError(f"{path} cannot be read.") from error
    write_card(directory, manifest)
    return True


def refresh(directory: Path) -> None:
    """Make a directory's card and checksums again after its manifest has changed.

    Raises:
        ModelFilesError: there is no manifest, or a file cannot be read or written.
    """
    from training.export.files import write_checksums

    manifest = load_manifest(directory)
    if manifest is None:
        raise ModelFilesError(f"{directory} has no {MANIFEST_FILE}.")
    refresh_card(directory, manifest)
    if (directory / CHECKSUMS_FILE).is_file():
        write_checksums(directory)


def _header(manifest: Manifest, *, adapter: bool) -> Iterator[str]:
    """What Hugging Face reads of a card, in YAML."""
    yield "---"
    yield "language: en"
    yield f"library_name: {'peft' if adapter else 'transformers'}"
    yield "pipeline_tag: text-generation"
    if manifest.base_model:
        yield f"base_model: {_quoted(manifest.base_model)}"
        yield f"base_model_relation: {'adapter' if adapter else 'finetune'}"
    if manifest.licence:
        known = _LICENCES.get(manifest.licence.lower())
        yield f"license: {known or 'other'}"
        if not known:
            yield f"license_name: {_quoted(manifest.licence)}"
    yield "tags: [mentalllama, imhi]"
    yield "---"
    yield ""


def _quoted(text: str) -> str:
    """A string in YAML, where every string of JSON is one."""
    import json

    return json.dumps(text)


def _body(manifest: Manifest, *, adapter: bool) -> Iterator[str]:
    yield _MARK
    yield ""
    yield f"# {manifest.name}"
    yield ""
    what = "A LoRA adapter" if adapter else "A language model"
    base = f" of {manifest.base_model}" if manifest.base_model else ""
    yield (
        f"{what}{base} that answers the questions of the IMHI benchmark on a post: a label with "
        "its probability, and an explanation. Made with MentalLLaMA."
    )
    yield ""
    yield _NOTICE
    yield ""
    if manifest.notes:
        yield manifest.notes
        yield ""
    yield "## Use"
    yield ""
    yield "```sh"
    if adapter:
        name = EMBEDDED_BASE if manifest.base_model == BASE_MODEL else "DIRECTORY_OF_THE_BASE"
        yield f"mentalllama-train export . --base {name} --output MERGED"
        yield "mentalllama serve MERGED"
    else:
        yield "mentalllama serve ."
    yield "```"
    yield ""
    style = "as it is, with no chat template around it"
    if manifest.prompt_style is PromptStyle.CHAT:
        style = "as the user's turn in the model's chat template"
    yield (
        f'Prompts: `Consider this post: "{{post}}" Question: {{question}}`, {style}. Wording '
        f"`{manifest.wording_version}`. The model answers `{{answer sentence}} Reasoning: "
        "{explanation}`."
    )
    yield ""
    yield from _training(manifest)
    yield from _results(manifest)
    yield from _calibration(manifest)
    yield "## Limits"
    yield ""
    yield (
        "The labels it learned follow the benchmark's references, which follow ChatGPT where that "
        "disagreed with the annotators (arXiv 2309.13567), and are one reader's judgement of a "
        "text at best. Texts are English, from Reddit, Twitter and short messages; nothing is "
        "known about others. Probabilities drift on texts unlike those. Explanations argue for the "
        "label that was decided and can be fluent and wrong."
    )
    yield ""
    yield "## Files"
    yield ""
    yield (
        f"Weights are safetensors. `{MANIFEST_FILE}` holds all of the above for programs. "
        f"`sha256sum --check {CHECKSUMS_FILE}` tells whether the files are whole."
    )


def _training(manifest: Manifest) -> Iterator[str]:
    training = manifest.training
    if training is None:
        return
    yield "## Training"
    yield ""
    said = [("recipe", training.recipe), ("commit", training.commit), ("seed", training.seed)]
    for name, value in said:
        if value is not None:
            yield f"- {name}: `{value}`"
    if training.data:
        yield ""
        yield from _table(("data", "rows", "SHA-256"))
        for data in training.data:
            yield _row((data.name, data.rows, f"`{data.sha256}`"))
        yield ""
        yield "The data is public research data about people in distress, non-clinical use only."
    yield ""


def _results(manifest: Manifest) -> Iterator[str]:
    if not manifest.results:
        return
    yield "## Results"
    yield ""
    yield from _table(("set", "split", "metric", "value", "95% interval", "measured with"))
    for result in manifest.results:
        interval = result.interval
        span = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
        value = f"{result.value:.3f}"
        yield _row((result.set, result.split, result.metric, value, span, f"`{result.command}`"))
    yield ""


def _calibration(manifest: Manifest) -> Iterator[str]:
    if not manifest.calibration:
        return
    yield "## Calibration"
    yield ""
    yield (
        "Fitted on validation posts: log-probabilities of the labels are divided by the "
        "temperature, then the bias is added."
    )
    yield ""
    yield from _table(("question", "temperature", "bias"))
    for name, entry in manifest.calibration.items():
        bias = ", ".join(f"{label} {value:+.2f}" for label, value in entry.bias.items())
        yield _row((name, f"{entry.temperature:.2f}", bias))
    yield ""


def _table(names: tuple[str, ...]) -> Iterator[str]:
    yield _row(names)
    yield _row(("---",) * len(names))


def _row(cells: tuple[object, ...]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
