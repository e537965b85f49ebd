"""What the benchmark keeps of every sample: the reads, the texts, the references.

A run asks a model and appends one `Record` a sample to a file; metrics, reports, comparisons and
calibration read records and never the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Read:
    """A label read, as the service does it.

    Attributes:
        log_probabilities: label id to natural-log probability as the model read it, before
            calibration; the probabilities sum to 1.
        probabilities: the same after the calibration of the model's manifest; equal to the
            exponential of the former where there is none.
        label_mass: share of the vocabulary's probability that the labels hold, from 0 to 1.
    """

    log_probabilities: Mapping[str, float]
    probabilities: Mapping[str, float]
    label_mass: float


@dataclass(frozen=True, slots=True)
class Explained:
    """The explanation of the decided label, as the service writes it.

    Attributes:
        label: id of the label that was explained.
        text: the explanation.
        finish_reason: `stop`, or `length` where the token limit ended it.
        tokens: completion tokens.
        consistency: probability of `label` when the explanation alone is read; None if not read.
    """

    label: str
    text: str
    finish_reason: str
    tokens: int
    consistency: float | None


@dataclass(frozen=True, slots=True)
class FreeForm:
    """A whole response generated from the query, as the paper did it.

    Attributes:
        text: the response.
        finish_reason: `stop`, `length` where the token limit ended it, or `error` where the model
            could not be asked.
        tokens: completion tokens.
        label: id of the label that `imhi.parsing` reads in it, or None.
        explanation: the text after the label, or None.
        problem: why no label could be read (a `imhi.parsing.Problem` value, or the code of the
            error), or None.
    """

    text: str
    finish_reason: str
    tokens: int
    label: str | None
    explanation: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """One sample with all that a model said on it.

    Attributes:
        id: the example's id.
        set: id of the data set.
        split: the part of the set.
        question: id of the question.
        post: the post's text. Records stay where the data stays.
        post_key: groups equal posts; see `training.data.example.post_key`.
        reference: id of the label that is measured against.
        annotation: id of the annotators' own label, or None where it is not known.
        reference_explanation: the reference's explanation, or None.
        seen: whether the post was in the model's training data, of any set; None if unknown.
        read, explained, free_form: what the model was asked for; None what it was not.
        error: a stable code where the model could not answer (`text_too_long`, say), else None.
        cut: characters of the post that were cut out to fit the model's context; the most that any
            of the ways cut.
    """

    id: str
    set: str
    split: str
    question: str
    post: str
    post_key: str
    reference: str
    annotation: str | None = None
    reference_explanation: str | None = None
    seen: bool | None = None
    read: Read | None = None
    explained: Explained | None = None
    free_form: FreeForm | None = None
    error: str | None = None
    cut: int = 0
