"""Templates: what an expert tells the teacher about a question, and the expert's own examples.

One YAML file a question or task, in `training/build/templates` or in a folder of the user's, whose
files go before those that ship:

    questions: [stress]       # ids of `imhi.tasks.QUESTIONS`
    instruction: ...          # what the question means, how its labels are told apart
    examples:                 # of every label as many as `few_shot` asks for, or more
      - {question: stress, label: "yes", post: ..., explanation: ...}

What ships was written for this project; no post in it is a person's.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from imhi.tasks import QUESTIONS, Question
from training.errors import RecipeError
from training.recipe_model import read_model

SHIPPED = Path(__file__).parent / "templates"

Text = Annotated[str, Field(min_length=1)]


class ExpertExample(BaseModel):
    """A post with its label and an expert's explanation."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    question: Text
    label: Text
    post: Text
    explanation: Text


class TemplateFile(BaseModel):
    """The form of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    questions: tuple[str, ...] = Field(min_length=1)
    instruction: Text
    examples: tuple[ExpertExample, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.questions:
            if name not in QUESTIONS:
                raise ValueError(f"there is no question {name}; see `mentalllama tasks`")
        for number, example in enumerate(self.examples, 1):
            if example.question not in self.questions:
                raise ValueError(f"example {number} asks {example.question}, the file does not")
            known = [label.id for label in QUESTIONS[example.question].labels]
            if example.label not in known:
                raise ValueError(
                    f"example {number}: {example.question} has no label {example.label}; its "
                    f"labels are: {', '.join(known)}"
                )
        return self


@dataclass(frozen=True, slots=True)
class Template:
    """What is told about one question.

    Attributes:
        instruction: the expert's.
        examples: label id to the expert's examples.
        origin: the file, for messages.
    """

    instruction: str
    examples: Mapping[str, tuple[ExpertExample, ...]]
    origin: str

    def drawn(
        self, question: Question, each: int, seed: int, row_id: str
    ) -> tuple[ExpertExample, ...]:
        """Examples for one row: so many of each label, drawn and mixed at random.

        The same row and seed give the same ones.

        Raises:
            RecipeError: there are not so many.
        """
        generator = random.Random(f"{seed}:{row_id}")
        found: list[ExpertExample] = []
        for label in question.labels:
            own = self.examples.get(label.id, ())
            if len(own) < each:
                raise RecipeError(
                    f"{self.origin} has {len(own)} examples of {question.id} with the label "
                    f"{label.id}; `few_shot: {each}` needs as many of each label."
                )
            found += generator.sample(own, each)
        generator.shuffle(found)
        return tuple(found)


def load_templates(folder: Path | None = None) -> Mapping[str, Template]:
    """Read the templates of all questions.

    Args:
        folder: whose files go before those that ship, or None.

    Returns:
        Question id to its template.

    Raises:
        RecipeError: a file cannot be read or is wrong; two files of a folder tell of one question.
    """
    found = _read(SHIPPED)
    if folder is not None:
        if not folder.is_dir():
            raise RecipeError(f"There is no folder {folder}, which `templates` names.")
        found |= _read(folder)
    return found


def _read(folder: Path) -> dict[str, Template]:
    found: dict[str, Template] = {}
    for path in sorted(folder.glob("*.yaml")):
        file = read_model(TemplateFile, path)
        for name in file.questions:
            if name in found:
                raise RecipeError(f"{path.name} and {found[name].origin} both tell of {name}.")
            own = [example for example in file.examples if example.question == name]
            by_label = {
                label.id: tuple(example for example in own if example.label == label.id)
                for label in QUESTIONS[name].labels
            }
            found[name] = Template(file.instruction, by_label, path.name)
    return found
