"""The form of `POST /v1/decisions`: OpenAI's, as their client and vLLM 0.33 have it, for text.

Fields of OpenAI's that change nothing here are not taken and dropped: they are refused, but for
`safety_identifier`, which is the caller's own note.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

MAX_QUESTIONS = 200
MAX_CHOICES = 128
"""Of one question. OpenAI allows 255; vLLM reads as many tokens at one place as this."""
MAX_LEVELS = 10

_Name = Annotated[str, Field(max_length=256)]
_Wording = Annotated[str, Field(min_length=1, max_length=512)]
_Description = Annotated[str, Field(max_length=2048)]
_Instructions = Annotated[str, Field(max_length=8192)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _text_or(parts: str) -> Discriminator:
    """Tells a string from a list, so that an error names the field that is wrong in the list."""
    return Discriminator(lambda value: parts if isinstance(value, list | tuple) else "string")


class TextPart(_Form):
    """A piece of text. Images and JSON are not read."""

    type: Literal["input_text"] = Field(description="Always `input_text`.", examples=["input_text"])
    text: str = Field(description="The text.", examples=["I keep waking up at four."])


_Parts = Annotated[list[TextPart], Field(min_length=1, max_length=1024), Tag("parts")]


class InputMessage(_Form):
    """A message of the user's. Those of other roles, calls and their outputs are not read."""

    role: Literal["user"] = Field(description="Always `user`.", examples=["user"])
    content: Annotated[Annotated[str, Tag("string")] | _Parts, _text_or("parts")] = Field(
        description="The text, or its pieces, which are put on lines of their own.",
        examples=["I keep waking up at four."],
    )
    type: Literal["message"] = Field(
        default="message", description="Always `message`.", examples=["message"]
    )


_Messages = Annotated[list[InputMessage], Field(min_length=1, max_length=1024), Tag("messages")]


class _Question(_Form):
    name: _Name | None = Field(
        default=None, description="Comes back with the answer.", examples=["stress"]
    )
    instructions: Annotated[Annotated[_Instructions, Tag("string")] | _Parts, _text_or("parts")] = (
        Field(
            description="What is asked: a text, or its pieces.",
            examples=["Does the poster suffer from stress?"],
        )
    )


class PredicateQuestion(_Question):
    """How likely a statement about the input is true, or a question is answered with yes."""

    type: Literal["predicate"] = Field(description="Always `predicate`.", examples=["predicate"])


class ChoiceOption(_Form):
    """One of the values to choose from."""

    value: _Wording | bool = Field(
        description="The value. A string and a boolean of the same text are different values.",
        examples=["work"],
    )
    description: _Description = Field(
        default="", description="What it means.", examples=["Anything about a job."]
    )


class ChoiceQuestion(_Question):
    """Which of several values fits the input."""

    type: Literal["choice"] = Field(description="Always `choice`.", examples=["choice"])
    choices: list[ChoiceOption] = Field(
        min_length=2,
        max_length=MAX_CHOICES,
        description=f"From 2 to {MAX_CHOICES} values, all different.",
    )


class ScoreLevel(_Form):
    """A level of a scale."""

    label: _Wording = Field(description="How it is called.", examples=["calm"])
    description: _Description = Field(
        default="", description="What it means.", examples=["No sign of tension."]
    )


class ScoreQuestion(_Question):
    """Where the input stands on a scale."""

    type: Literal["score"] = Field(description="Always `score`.", examples=["score"])
    levels: list[ScoreLevel] = Field(
        min_length=2,
        max_length=MAX_LEVELS,
        description=f"From 2 to {MAX_LEVELS} levels, all different, from the lowest on.",
    )


Question = PredicateQuestion | ChoiceQuestion | ScoreQuestion


class DecisionRequest(_Form):
    """An input and the questions to answer on it."""

    model: str = Field(
        description="The served model or one of its LoRA adapters, by name (GET /v1/models).",
        examples=["mentalllama-embedded"],
    )
    input: Annotated[Annotated[str, Tag("string")] | _Messages, _text_or("messages")] = Field(
        description=(
            "What every question is asked on: a text, or messages, which are put together with "
            "blank lines between."
        ),
        examples=["I keep waking up at four and lie there until the alarm."],
    )
    questions: list[Annotated[Question, Field(discriminator="type")]] = Field(
        min_length=1,
        max_length=MAX_QUESTIONS,
        description=f"From 1 to {MAX_QUESTIONS} questions, answered in their order.",
    )
    safety_identifier: Annotated[str, Field(max_length=128)] | None = Field(
        default=None,
        description="The caller's name for the user, as OpenAI takes it. Nothing is done with it.",
        examples=["user-1"],
    )
    prompt_cache_key: None = Field(
        default=None,
        description="Must be left out: one prefix cache serves all callers.",
        examples=[None],
    )
    prompt_cache_options: None = Field(
        default=None,
        description="Must be left out: the prefix cache needs no marks.",
        examples=[None],
    )


class PredicateAnswer(_Form):
    """The answer to a `predicate`."""

    type: Literal["predicate"] = Field(
        default="predicate", description="Always `predicate`.", examples=["predicate"]
    )
    name: str | None = Field(description="The question's.", examples=["stress"])
    probability: float = Field(
        description="That it is true, from 0 to 1; calibrated for a question of the benchmark.",
        examples=[0.875],
    )


class ChoiceProbability(_Form):
    """How probable a value is."""

    value: str | bool = Field(description="The value.", examples=["work"])
    probability: float = Field(description="From 0 to 1.", examples=[0.75])


class ChoiceAnswer(_Form):
    """The answer to a `choice`."""

    type: Literal["choice"] = Field(
        default="choice", description="Always `choice`.", examples=["choice"]
    )
    name: str | None = Field(description="The question's.", examples=["cause"])
    choice: str | bool = Field(
        description="The most probable value, or what the deployment's thresholds decide.",
        examples=["work"],
    )
    probabilities: list[ChoiceProbability] = Field(
        description="Of all values, in the question's order; they sum to 1."
    )
    confidence: float = Field(
        description=(
            "The choice's probability times the share of the whole vocabulary's probability that "
            "the values hold together: low where the model meant to say something else."
        ),
        examples=[0.72],
    )


class ScoreProbability(_Form):
    """How probable a level is."""

    value: int = Field(description="The level's place, from 0.", examples=[0])
    label: str = Field(description="The level's label.", examples=["calm"])
    probability: float = Field(description="From 0 to 1.", examples=[0.25])


class ScoreAnswer(_Form):
    """The answer to a `score`."""

    type: Literal["score"] = Field(
        default="score", description="Always `score`.", examples=["score"]
    )
    name: str | None = Field(description="The question's.", examples=["tension"])
    score: float = Field(
        description="The mean of the levels' places, each weighted by its probability.",
        examples=[1.25],
    )
    probabilities: list[ScoreProbability] = Field(
        description="Of all levels, in the question's order; they sum to 1."
    )
    confidence: float = Field(
        description="As of a `choice`, of the most probable level.", examples=[0.6]
    )


class RefusalAnswer(_Form):
    """In place of an answer, where the deployment's decision policy abstains on the question."""

    type: Literal["refusal"] = Field(
        default="refusal", description="Always `refusal`.", examples=["refusal"]
    )
    name: str | None = Field(description="The question's.", examples=["stress"])


Answer = PredicateAnswer | ChoiceAnswer | ScoreAnswer | RefusalAnswer


class InputTokensDetails(_Form):
    """Where the input's tokens came from."""

    cached_tokens: int = Field(
        description="How many came from the engine's prefix cache.", examples=[448]
    )
    cache_write_tokens: int = Field(
        default=0, description="0: vLLM does not say how many it kept.", examples=[0]
    )


class OutputTokensDetails(_Form):
    """What the output's tokens were for."""

    reasoning_tokens: int = Field(default=0, description="0: nothing is written.", examples=[0])


class DecisionUsage(_Form):
    """Tokens of all reads. Questions on one input share its tokens through the prefix cache."""

    input_tokens: int = Field(description="Tokens of all prompts.", examples=[520])
    input_tokens_details: InputTokensDetails
    output_tokens: int = Field(
        default=0, description="0: answers are read and not written.", examples=[0]
    )
    output_tokens_details: OutputTokensDetails
    total_tokens: int = Field(description="Input and output.", examples=[520])


class DecisionResponse(_Form):
    """The answers, in the order of the questions."""

    model: str = Field(
        description="The model or adapter that answered.", examples=["mentalllama-embedded"]
    )
    answers: list[Annotated[Answer, Field(discriminator="type")]] = Field(
        description="One a question, in their order."
    )
    usage: DecisionUsage


TAGS = frozenset({"string", "parts", "messages", "predicate", "choice", "score"})
"""What pydantic puts into a wrong field's path and no request has."""


FIELDS = frozenset(
    name
    for form in (
        *(DecisionRequest, InputMessage, TextPart, PredicateQuestion, ChoiceQuestion),
        *(ScoreQuestion, ChoiceOption, ScoreLevel),
    )
    for name in form.model_fields
)
"""Names that an error may repeat."""


def text_of(content: str | Sequence[TextPart]) -> str:
    """A content's text, parts on lines of their own."""
    return content if isinstance(content, str) else "\n".join(part.text for part in content)
