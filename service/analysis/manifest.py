"""The manifest: what a model says about itself, in `mentalllama.json` beside its weights.

`load_manifest` reads it when a model is loaded; `Manifest.to_calibration` and `Manifest.to_policy`
hand its numbers to the analysis; `write_manifest` ends a training, a calibration or a model build.
A model without the file is served all the same, with `assumed_manifest`. The descriptions here are
the file's documentation: the docs are generated from them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

from imhi.tasks import QUESTIONS, WORDING_VERSION, Question
from service.analysis.calibration import Calibration, QuestionCalibration
from service.analysis.decision import validate_policy
from service.analysis.types import DecisionPolicy
from service.errors import ModelError, ServiceError

MANIFEST_FILE = "mentalllama.json"

Probability = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""


class PromptStyle(StrEnum):
    """How a query is put before the model."""

    BARE = "bare"
    CHAT = "chat"


class _Entry(BaseModel):
    # Strict: a number written as a string in a hand-edited file is a mistake to name, not to guess.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _check_question(field: str, question_id: str) -> Question:
    if (question := QUESTIONS.get(question_id)) is None:
        raise ValueError(
            f"`{field}` names the question {question_id!r}, which does not exist; "
            f"the questions are: {', '.join(QUESTIONS)}"
        )
    return question


class CalibrationEntry(_Entry):
    """Fitted numbers of one question; see `service.analysis.calibration`."""

    temperature: float = Field(
        default=1.0,
        gt=0,
        description="What the labels' log-probabilities are divided by; 1 leaves them as read.",
    )
    bias: Mapping[str, float] = Field(
        default_factory=dict,
        description="Label id to what is added to its log-probability after the division; 0 for a "
        "label that is not named.",
    )


class PolicyEntry(_Entry):
    """How probabilities become a decision; see `service.analysis.decision`."""

    thresholds: Mapping[str, Mapping[str, Probability]] = Field(
        default_factory=dict,
        description="Question id to label id to the probability at which that label is decided.",
    )
    abstention_band: tuple[Probability, Probability] | None = Field(
        default=None,
        description="[low, high]: abstain where the probability that the question's subject is "
        "present lies in it, ends included.",
    )
    min_probability: Probability | None = Field(
        default=None, description="Abstain where the decided label is less probable than this."
    )
    min_label_mass: Probability | None = Field(
        default=None,
        description="Abstain where the labels together hold less than this share of the full "
        "vocabulary's probability.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            validate_policy(self.to_policy())
        except ServiceError as error:
            raise ValueError(error.message) from None
        return self

    def to_policy(self) -> DecisionPolicy:
        """The same as the analysis takes it."""
        return DecisionPolicy(
            thresholds=self.thresholds,
            abstention_band=self.abstention_band,
            min_probability=self.min_probability,
            min_label_mass=self.min_label_mass,
        )


class TrainingData(_Entry):
    """One file that a model was trained on."""

    name: str = Field(min_length=1, description="Name of the data set or file.")
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file, 64 hexadecimal digits."
    )
    rows: int = Field(ge=0, description="Rows of it that were trained on.")


class Training(_Entry):
    """How a model was trained."""

    data: tuple[TrainingData, ...] = Field(
        default=(), description="The files that the model was trained on."
    )
    recipe: str | None = Field(
        default=None, description="Name of the recipe, a file in `training/recipes/`."
    )
    commit: str | None = Field(
        default=None, description="Commit of this project's repository that ran the training."
    )
    seed: int | None = Field(default=None, description="Seed of the run.")
    questions: Mapping[str, NonNegativeInt] | None = Field(
        default=None,
        description="Question id to the rows with this question that the model was trained on; a "
        "question that is not named had none. Where it is not given nothing is known, and every "
        "question counts as trained.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for question_id in self.questions or {}:
            _check_question("questions", question_id)
        return self


class Result(_Entry):
    """One measured figure, with the command that measures it again."""

    set: str = Field(min_length=1, description="Id of the data set, such as `dreaddit`.")
    split: str = Field(min_length=1, description="The part of the set: `train`, `val` or `test`.")
    metric: str = Field(min_length=1, description="What was measured, such as `weighted_f1`.")
    value: float = Field(description="The figure, as a fraction and not in percent.")
    interval: tuple[float, float] | None = Field(
        default=None, description="[low, high] of its 95% confidence interval."
    )
    command: str = Field(min_length=1, description="The command that measures it.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError("`interval` must be [low, high] with low at most high")
        return self


class Manifest(_Entry):
    """What a model says about itself."""

    schema_version: Literal[1] = Field(description="Version of this file's form.")
    name: str = Field(min_length=1, description="What the model is called.")
    base_model: str | None = Field(
        default=None, description="The model it was trained from: a Hugging Face id."
    )
    prompt_style: PromptStyle = Field(
        description="`bare`: the query alone, as MentalLLaMA was trained. `chat`: the query as the "
        "user's turn in the model's chat template."
    )
    wording_version: str = Field(
        min_length=1,
        description="Version of the questions' and answers' wording that the model was trained, "
        "calibrated and measured with.",
    )
    calibration: Mapping[str, CalibrationEntry] = Field(
        default_factory=dict,
        description="Question id to its fitted numbers. Valid for `wording_version` only.",
    )
    policy: PolicyEntry = Field(
        default_factory=PolicyEntry,
        description="The decision policy that a deployment starts from.",
    )
    training: Training | None = Field(default=None, description="How the model was trained.")
    results: tuple[Result, ...] = Field(default=(), description="Measured figures.")
    licence: str | None = Field(
        default=None, description="Licence of the weights: an SPDX identifier or a name."
    )
    notes: str = Field(default="", description="What else a user of the model should know.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for question_id, entry in self.calibration.items():
            question = _check_question("calibration", question_id)
            labels = [label.id for label in question.labels]
            for label_id in entry.bias:
                if label_id not in labels:
                    raise ValueError(
                        f"`calibration.{question_id}.bias` names the label {label_id!r}, which "
                        f"does not exist; the labels are: {', '.join(labels)}"
                    )
        if self.calibration and self.wording_version != WORDING_VERSION:
            raise ValueError(
                f"`wording_version` is {self.wording_version!r}, and this release asks its "
                f"questions in {WORDING_VERSION!r}: the calibration does not hold for it. "
                f"Recalibrate the model, or use the release whose wording is "
                f"{self.wording_version!r}"
            )
        return self

    def to_calibration(self) -> Calibration:
        """The fitted numbers as the analysis takes them."""
        return Calibration(
            {
                question_id: QuestionCalibration(entry.temperature, entry.bias)
                for question_id, entry in self.calibration.items()
            }
        )

    def to_policy(self) -> DecisionPolicy:
        """The decision policy as the analysis takes it."""
        return self.policy.to_policy()


def load_manifest(directory: Path) -> Manifest | None:
    """Read the manifest in a model's directory.

    Returns:
        The manifest, or None where the directory has none.

    Raises:
        ModelError: the file cannot be read, or is not a manifest that this release takes. The
            message names the file, the field and what is wrong with it.
    """
    path = directory / MANIFEST_FILE
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not UTF-8 text; save it as UTF-8.") from error
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise ModelError(f"{path}: {_explain(error)}.") from None


def _explain(error: ValidationError) -> str:
    """What is wrong with which fields, in one line."""
    problems = []
    for item in error.errors(include_url=False, include_input=False):
        field = ".".join(str(part) for part in item["loc"])
        match item["type"]:
            case "literal_error" if field == "schema_version":
                # Another version's file has other fields: what is said of them is beside the point.
                return "`schema_version` is not 1; use the release that wrote this file"
            case "missing":
                what = "is missing"
            case "extra_forbidden":
                what = "is not a field of the manifest; take it out or correct its name"
            case "value_error":
                what = str(item["ctx"]["error"])
            case _:
                what = item["msg"][:1].lower() + item["msg"][1:]
        problems.append(f"`{field}`: {what}" if field else what)
    return "; ".join(problems)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write a model's manifest into its directory, in place of one that is there.

    A reader sees the old file or the new one, never a part.

    Raises:
        ModelError: the file cannot be written.
    """
    path = directory / MANIFEST_FILE
    temporary = directory / f".{MANIFEST_FILE}.{os.getpid()}"
    text = manifest.model_dump_json(indent=2, exclude_none=True)
    try:
        temporary.write_text(f"{text}\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ModelError(f"{path} cannot be written: {error.strerror}.") from error


def assumed_manifest(model: str, has_chat_template: bool) -> Manifest:
    """What is assumed of a model without a manifest.

    Args:
        model: a Hugging Face id or a directory, as the model was asked for.
        has_chat_template: whether its tokenizer has one.

    Returns:
        A manifest with bare prompts for the paper's checkpoints (by name, such as
        `klyang/MentaLLaMA-chat-7B`: they were trained on the bare query, although the chat ones
        carry a template) and for models without a template, chat prompts for all others.
    """
    name = _model_name(model)
    # Only the last part counts: a directory that lies in a checkout of this project is not yet one
    # of the paper's models.
    own = PurePath(name).name.lower()
    bare = "mentallama" in own or "mentalllama" in own or not has_chat_template
    return Manifest(
        schema_version=1,
        name=name,
        prompt_style=PromptStyle.BARE if bare else PromptStyle.CHAT,
        wording_version=WORDING_VERSION,
        notes=f"Assumed: the model brings no {MANIFEST_FILE}.",
    )


def _model_name(model: str) -> str:
    """A name for answers: the id itself, or of a directory what its path says and no more."""
    path = PurePath(model)
    for part in path.parts:
        if part.startswith("models--"):  # a directory of the Hugging Face cache
            return part.removeprefix("models--").replace("--", "/", 1)
    is_id = (
        len(path.parts) <= 2 and not path.is_absolute() and path.parts[:1] not in [("..",), ("~",)]
    )
    return str(path) if is_id and path.name else (path.name or model)
