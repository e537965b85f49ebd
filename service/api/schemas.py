"""The form of `POST /analyze`: what a caller sends and what comes back.

The only place where the analysis's frozen data becomes JSON: `Answer.of`, `Result.of` and
`AnalyzeResponse.of` convert. The OpenAPI document is generated from the descriptions here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from imhi.tasks import QUESTIONS, TASKS, WORDING_VERSION
from service.analysis import types
from service.analysis.types import Explain, Scoring, Truncation
from service.errors import ServiceError
from service.gate.shape import error_body

DEFAULT_EXPLANATION_TOKENS = types.Options().explanation_tokens

Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _whole(value: object) -> object:
    """`96.0` as `96`: to JSON Schema, and so to the document, both are integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Only the document knows the names: an unknown one is refused by `service.api.work`, whose error
# lists those that exist.
_TaskName = Annotated[str, Field(json_schema_extra={"enum": list(TASKS)})]
_QuestionName = Annotated[str, Field(json_schema_extra={"enum": list(QUESTIONS)})]

_TASKS = ", ".join(f"`{task}`" for task in TASKS)
_QUESTIONS = ", ".join(f"`{question}`" for question in QUESTIONS)


class _Body(BaseModel):
    # Strict: "yes" is no boolean and "5" no number, so that a mistake is named and not guessed at.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AnalyzeRequest(_Body):
    """One text or several, the questions to ask on each, and how to answer them."""

    text: str | None = Field(
        default=None,
        description="The text to analyse. Send either this or `texts`.",
        examples=["I keep waking up at four and lie there until the alarm."],
    )
    texts: list[str] | None = Field(
        default=None,
        min_length=1,
        description=(
            "Several texts, each analysed by itself. One that fails does not fail the others: its "
            "result carries the error. The deployment bounds how many."
        ),
        examples=[["First text.", "Second text."]],
    )
    tasks: list[_TaskName] | None = Field(
        default=None,
        min_length=1,
        description=(
            f"Tasks whose questions are asked: {_TASKS}. All of them by default. A task with "
            "several wordings is asked in those that the model was trained on (GET /tasks)."
        ),
        examples=[["stress", "loneliness"]],
    )
    questions: list[_QuestionName] | None = Field(
        default=None,
        min_length=1,
        description=f"A finer choice in place of `tasks`: {_QUESTIONS}.",
        examples=[["mental_disorder.tsid"]],
    )
    explain: Explain = Field(
        default=Explain.ALWAYS,
        description=(
            "Which decisions are explained in words: `always`, `positive` (not where the decision "
            "is the label that says nothing was found), `never`."
        ),
        examples=["positive"],
    )
    explanation_tokens: Annotated[int, Field(ge=1), BeforeValidator(_whole)] = Field(
        default=DEFAULT_EXPLANATION_TOKENS,
        description="Most tokens of one explanation; the deployment sets the upper bound.",
        examples=[96],
    )
    consistency: bool = Field(
        default=True,
        description="Whether to read each explanation alone and see if it supports the decision.",
        examples=[False],
    )
    scoring: Scoring = Field(
        default=Scoring.BRANCHES,
        description=(
            "Which distribution over a question's answers is read. `branches`: the tokens by which "
            "the answers part, mostly one read a question; calibrated. `sentences`, for research: "
            "the likelihood of each full answer sentence, some twenty reads a question; not "
            "calibrated."
        ),
        examples=["branches"],
    )
    thresholds: dict[str, dict[str, Probability]] = Field(
        default_factory=dict,
        description=(
            "Question to label to the probability at which that label is decided, in place of the "
            "most probable label. Replaces the deployment's thresholds of the same question."
        ),
        examples=[{"stress": {"yes": 0.8}}],
        json_schema_extra={"propertyNames": {"enum": list(QUESTIONS)}},
    )
    abstention_band: tuple[Probability, Probability] | None = Field(
        default=None,
        description=(
            "[low, high]: abstain where the probability that the question's subject is present "
            "lies between, ends included."
        ),
        examples=[[0.4, 0.6]],
    )
    min_probability: Probability | None = Field(
        default=None,
        description="Abstain where the decided label is less probable than this.",
        examples=[0.5],
    )
    min_label_mass: Probability | None = Field(
        default=None,
        description=(
            "Abstain where the labels together hold less of the vocabulary's probability than "
            "this: the model would have said something else."
        ),
        examples=[0.01],
    )
    truncation: Truncation = Field(
        default=Truncation.ERROR,
        description=(
            "What to do with a text that does not fit the model's context: `error` refuses it, "
            "`head` keeps its beginning, `tail` its end, `middle` cuts out the middle."
        ),
        examples=["tail"],
    )
    model: str | None = Field(
        default=None,
        description="The served model or one of its LoRA adapters, by name (GET /v1/models).",
        examples=["mentalllama-embedded"],
    )
    stream: bool = Field(
        default=False,
        description="Whether to answer with server-sent events as soon as there is something.",
        examples=[True],
    )


class Evidence(_Body):
    """A quote of the explanation that stands in the text."""

    quote: str = Field(
        description="The words as they stand in the text.", examples=["waking up at four"]
    )
    start: int = Field(
        description="Offset of its first character in the text, in Unicode code points.",
        examples=[7],
    )
    end: int = Field(description="Offset after its last character.", examples=[24])


class Cut(_Body):
    """A part of the text that the model did not see."""

    start: int = Field(
        description="Offset of its first character in the text, in Unicode code points.",
        examples=[8000],
    )
    end: int = Field(description="Offset after its last character.", examples=[9500])


class Answer(_Body):
    """What is said about one question on one text."""

    task: str = Field(description="The task that owns the question.", examples=["stress"])
    question: str = Field(description="The question's id.", examples=["stress"])
    question_text: str = Field(
        description="The question as the model was asked it.",
        examples=["Does the poster suffer from stress?"],
    )
    label: str | None = Field(
        description="The decided label's id; null where the policy abstains.", examples=["yes"]
    )
    probability: float = Field(
        description="Calibrated probability of `candidate`, from 0 to 1.", examples=[0.875]
    )
    probabilities: dict[str, float] = Field(
        description="Label to calibrated probability; they sum to 1.",
        examples=[{"yes": 0.875, "no": 0.125}],
    )
    label_mass: float = Field(
        description=(
            "Share of the whole vocabulary's probability that the labels hold together, before "
            "calibration: how much the model meant to answer with one of them at all."
        ),
        examples=[0.96],
    )
    abstained: bool = Field(description="Whether the policy declined to decide.", examples=[False])
    candidate: str = Field(
        description="The decided label or, where the policy abstains, the one it would have been.",
        examples=["yes"],
    )
    urgent: bool = Field(
        description="Whether `candidate` points to suicide or self-harm.", examples=[False]
    )
    explanation: str | None = Field(
        description="Why, in the model's words; null where none was asked for.",
        examples=['The poster says that they "keep waking up at four".'],
    )
    evidence: list[Evidence] = Field(
        description="Quotes of the explanation that were found in the text.",
        examples=[[{"quote": "keep waking up at four", "start": 2, "end": 24}]],
    )
    consistency: float | None = Field(
        description=(
            "Probability of `candidate` when the explanation alone is read: low where the "
            "explanation does not support it. Null without explanation or where not asked for."
        ),
        examples=[0.9],
    )
    finish_reason: str | None = Field(
        description=(
            "`stop`; `length` where the token limit cut the explanation, `repetition` where it "
            "said the same on and on and was ended."
        ),
        examples=["stop"],
    )

    @classmethod
    def of(cls, answer: types.Answer) -> Self:
        """The same as JSON carries it."""
        explanation = answer.explanation
        return cls(
            task=answer.question.task,
            question=answer.question.id,
            question_text=answer.question.text,
            label=answer.decision.label,
            probability=answer.decision.probability,
            probabilities=dict(answer.distribution.probabilities),
            label_mass=answer.distribution.label_mass,
            abstained=answer.decision.abstained,
            candidate=answer.decision.candidate,
            urgent=answer.urgent,
            explanation=explanation.text if explanation else None,
            evidence=[
                Evidence(quote=found.quote, start=found.start, end=found.end)
                for found in (explanation.evidence if explanation else ())
            ],
            consistency=explanation.consistency if explanation else None,
            finish_reason=explanation.finish_reason if explanation else None,
        )


class Error(_Body):
    """What went wrong. No text that was sent is ever repeated in it."""

    code: str = Field(description="Stable and machine-readable.", examples=["text_too_long"])
    message: str = Field(
        description="What is wrong and what to do, for people; may be reworded.",
        examples=["The text has 9000 tokens; at most 8000 fit. Shorten it or allow truncation."],
    )
    type: Literal["invalid_request_error", "server_error"] = Field(
        description="Whose fault it is, as OpenAI says it.", examples=["invalid_request_error"]
    )
    param: str | None = Field(description="The field that is wrong, dotted.", examples=["text"])
    request_id: str | None = Field(
        description="The `X-Request-Id` of the response; name it in a report.",
        examples=["4f1c2b7e9a0d4c6f8e3b5a7d9c1e2f30"],
    )

    @classmethod
    def of(cls, error: ServiceError, request_id: str | None) -> Self:
        """The same as JSON carries it."""
        return cls.model_validate(error_body(error, request_id)["error"])


class ErrorResponse(_Body):
    """The body of every response from 400 on, on every route."""

    error: Error


class Result(_Body):
    """All that is said about one text."""

    index: int = Field(description="Which text, from 0 in the request's order.", examples=[0])
    answers: list[Answer] = Field(
        description="One a question, in the order they were asked; empty with an `error`."
    )
    truncated: list[Cut] = Field(
        description="Parts of the text that were cut out to fit; empty when it was read whole.",
        examples=[[]],
    )
    error: Error | None = Field(
        description="Why this one of several texts has no answers; null otherwise.",
        examples=[None],
    )

    @classmethod
    def of(cls, index: int, outcome: types.Analysis | ServiceError, request_id: str | None) -> Self:
        """The result of the text at `index`."""
        if isinstance(outcome, ServiceError):
            error = Error.of(outcome, request_id)
            return cls(index=index, answers=[], truncated=[], error=error)
        return cls(
            index=index,
            answers=[Answer.of(answer) for answer in outcome.answers],
            truncated=[Cut(start=cut.start, end=cut.end) for cut in outcome.cuts],
            error=None,
        )


class Usage(_Body):
    """Tokens of all engine requests that the response took."""

    prompt_tokens: int = Field(
        description="Tokens of all prompts, cached ones included.", examples=[3120]
    )
    cached_tokens: int = Field(
        description="How many of them came from the engine's prefix cache.", examples=[2688]
    )
    completion_tokens: int = Field(description="Generated tokens.", examples=[812])


class AnalyzeResponse(_Body):
    """The answers on every text of the request."""

    id: str = Field(
        description="Id of this analysis.", examples=["analysis-0b5fd6a2c1e34d7f9a86b3c2d4e5f607"]
    )
    model: str = Field(
        description="The model or adapter that answered.", examples=["mentalllama-embedded"]
    )
    wording_version: str = Field(
        description="Version of the questions' and labels' wording.", examples=[WORDING_VERSION]
    )
    results: list[Result] = Field(
        description="One a text, in the request's order; a single `text` is a list of one."
    )
    usage: Usage
    notice: str = Field(
        description="That this is no diagnosis. Show it with the answers.",
        examples=["These are labels that a language model reads in a text."],
    )
    resources: str | None = Field(
        description=(
            "Where a person can find help, set by the deployment; null unless an answer is "
            "`urgent`."
        ),
        examples=[None],
    )

    @classmethod
    def of(
        cls,
        outcomes: Sequence[types.Analysis | ServiceError],
        *,
        analysis_id: str,
        model: str,
        notice: str,
        urgent_resources: str,
        request_id: str | None = None,
    ) -> Self:
        """The response that holds the outcome of every text, in order."""
        results = [Result.of(index, outcome, request_id) for index, outcome in enumerate(outcomes)]
        usage = sum(
            (outcome.usage for outcome in outcomes if isinstance(outcome, types.Analysis)),
            start=types.Usage(),
        )
        urgent = any(answer.urgent for result in results for answer in result.answers)
        return cls(
            id=analysis_id,
            model=model,
            wording_version=WORDING_VERSION,
            results=results,
            usage=Usage(
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=usage.cached_tokens,
                completion_tokens=usage.completion_tokens,
            ),
            notice=notice,
            resources=urgent_resources if urgent else None,
        )
