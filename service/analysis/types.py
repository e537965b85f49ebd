"""What goes into an analysis and what comes out of it, as plain frozen data.

`Options` is what a caller may choose; `Analysis` holds one `Answer` a question. While an analysis
runs it yields `Event`s: `Labelled` as each question is read, `ExplanationDelta` as text is
generated, `Completed` once at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from imhi.tasks import Question


class Explain(StrEnum):
    """Which decisions are explained in words."""

    ALWAYS = "always"
    POSITIVE = "positive"
    NEVER = "never"


class Truncation(StrEnum):
    """What to do with a post that does not fit: refuse it, or which part of it to keep."""

    ERROR = "error"
    HEAD = "head"
    TAIL = "tail"
    MIDDLE = "middle"


class Scoring(StrEnum):
    """Which distribution over the answers is read; see `service.analysis.labels`."""

    BRANCHES = "branches"
    SENTENCES = "sentences"


@dataclass(frozen=True, slots=True)
class DecisionPolicy:
    """How a distribution becomes a decision; see `service.analysis.decision.decide`.

    Attributes:
        thresholds: question id to label id to the probability at which that label is decided.
        abstention_band: (low, high): abstain where the probability that the question's subject is
            present (1 minus the negative label's) lies in it, ends included. For a question without
            a negative label, the largest probability counts.
        min_probability: abstain where the decided label is less probable than this.
        min_label_mass: abstain where the labels together hold less of the vocabulary's probability.
    """

    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    abstention_band: tuple[float, float] | None = None
    min_probability: float | None = None
    min_label_mass: float | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How one analysis is done. The caller chooses all of it but `cache_salt`.

    Attributes:
        explain: which decisions are explained.
        explanation_tokens: most tokens an explanation may take.
        consistency: whether to read each explanation alone and see if it supports the decision.
        scoring: which distribution is read. Calibration is fitted on `branches` and applied to it
            alone.
        truncation: what to do with a post that does not fit.
        policy: the request's own decision policy, or None for the deployment's.
        adapter: name of a LoRA adapter, or None for the base model.
        cache_salt: whose prefix cache is used; None is everybody's who has no salt.
    """

    explain: Explain = Explain.ALWAYS
    explanation_tokens: int = 192
    consistency: bool = True
    scoring: Scoring = Scoring.BRANCHES
    truncation: Truncation = Truncation.ERROR
    policy: DecisionPolicy | None = None
    adapter: str | None = None
    cache_salt: str | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """Calibrated probabilities of a question's labels.

    Attributes:
        probabilities: label id to probability, in the question's order; they sum to 1.
        label_mass: share of the full vocabulary's probability that the labels hold together, before
            calibration, from 0 to 1.
        log_probabilities: label id to natural-log probability as the model read it, before
            calibration; the probabilities sum to 1. Calibration is fitted on these. Empty where
            they are not known.
    """

    probabilities: Mapping[str, float]
    label_mass: float
    log_probabilities: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is said about a question.

    Attributes:
        label: the decided label's id, or None where the policy abstains.
        candidate: the label that was decided or, where the policy abstains, would have been.
        probability: the candidate's probability.
    """

    label: str | None
    candidate: str
    probability: float

    @property
    def abstained(self) -> bool:
        """Whether the policy declined to decide."""
        return self.label is None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A quote of the explanation found in the post.

    Attributes:
        quote: the words as they stand in the post: `text[start:end]`.
        start: offset of the first character in the original text, in Unicode code points.
        end: offset after the last character.
    """

    quote: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the decision was taken, in the model's words.

    Attributes:
        text: the explanation, stripped.
        finish_reason: `stop` where the model ended it, `length` where the token limit did,
            `repetition` where it was ended for saying the same on and on.
        tokens: completion tokens.
        evidence: quotes of the post in it.
        consistency: probability of the decided label when the explanation alone is read, from 0 to
            1; None where it was not asked for or there is nothing to read.
    """

    text: str
    finish_reason: str
    tokens: int
    evidence: tuple[Evidence, ...]
    consistency: float | None


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response in the model's own words: label and explanation, as far as it wrote them.

    Attributes:
        text: the response, stripped.
        finish_reason: `stop` where the model ended it, `length` where the token limit did,
            `repetition` where it was ended for saying the same on and on.
        tokens: completion tokens.
        cuts: parts of the post that the model did not see.
    """

    text: str
    finish_reason: str
    tokens: int
    cuts: tuple[Cut, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One question, answered."""

    question: Question
    distribution: Distribution
    decision: Decision
    explanation: Explanation | None = None

    @property
    def urgent(self) -> bool:
        """Whether the candidate label points to suicide or self-harm, decided or abstained."""
        return self.question.label(self.decision.candidate).urgent


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of the post the model did not see.

    Attributes:
        start: offset of its first character in the original text, in Unicode code points.
        end: offset after its last character.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens an analysis took, over all its engine requests.

    Attributes:
        prompt_tokens: tokens of all prompts.
        cached_tokens: how many of them came from the prefix cache.
        completion_tokens: generated tokens (explanations; a label read generates one that is not
            kept and not counted).
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds by phase, wall clock, of one analysis. Phases of different questions overlap.

    Attributes:
        tokenize: making the prompts.
        queue: longest that one of its label reads waited in the engine's queue.
        label_read: from the first read sent until the last distribution is there.
        explanation: from the first explanation sent until the last is checked; 0 without any.
        first_label: from the start until the first distribution is there.
        total: the whole analysis.
    """

    tokenize: float = 0.0
    queue: float = 0.0
    label_read: float = 0.0
    explanation: float = 0.0
    first_label: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that is said about one post, in the order the questions were asked."""

    answers: tuple[Answer, ...]
    cuts: tuple[Cut, ...]
    usage: Usage
    timings: Timings


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question's label is decided; its explanation, if any, follows."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class ExplanationDelta:
    """More of a question's explanation."""

    question: Question
    text: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The analysis is done; always the last event."""

    analysis: Analysis


Event = Labelled | ExplanationDelta | Completed
