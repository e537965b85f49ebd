"""The decision: from calibrated probabilities to one label, or to an abstention.

`decide` takes a question, the distribution over its labels and a `DecisionPolicy`, and says which
label is decided. The policy is `merge`d from the deployment's and the request's; `validate_policy`
stands at every edge where one comes in, so that `decide` can trust it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from imhi.tasks import QUESTIONS, Question
from service.analysis.types import Decision, DecisionPolicy, Distribution
from service.errors import InvalidRequestError, UnknownNameError


def decide(question: Question, distribution: Distribution, policy: DecisionPolicy) -> Decision:
    """Decide which label a question gets.

    First a candidate. A label with a threshold is eligible where its probability reaches it; the
    eligible label with the largest ratio of probability to threshold is the candidate (a threshold
    of 0 is always reached, and its ratio is infinite). Where none is eligible it is the most
    probable label without a threshold; where every label has one, the most probable of all, and
    the policy abstains. Ties go to the more probable label, then to the first in the question's
    order.

    Then the policy abstains where the labels' share of the vocabulary's probability is below
    `min_label_mass`, the candidate's probability is below `min_probability`, or the probability
    that the question's subject is present lies in `abstention_band`, ends included.

    Args:
        question: what was asked.
        distribution: calibrated probabilities of the question's labels.
        policy: a valid policy (`validate_policy`).

    Returns:
        The decision; its label is None where the policy abstains.
    """
    candidate, reached = _candidate(question, distribution.probabilities, policy)
    probability = distribution.probabilities[candidate]
    abstains = not reached or _abstains(question, distribution, policy, probability)
    return Decision(None if abstains else candidate, candidate, probability)


def _candidate(
    question: Question, probabilities: Mapping[str, float], policy: DecisionPolicy
) -> tuple[str, bool]:
    """The candidate's id, and whether the thresholds let it be decided."""
    thresholds = policy.thresholds.get(question.id, {})
    labels = [label.id for label in question.labels]
    eligible = [x for x in labels if x in thresholds and probabilities[x] >= thresholds[x]]
    if eligible:
        return max(eligible, key=lambda x: _ratio(probabilities[x], thresholds[x])), True
    free = [x for x in labels if x not in thresholds]
    # `max` returns the first of equals, which is the first in the question's order.
    return max(free or labels, key=lambda x: probabilities[x]), bool(free)


def _ratio(probability: float, threshold: float) -> tuple[float, float]:
    # Dividing by a subnormal threshold overflows to infinity by itself.
    return (probability / threshold if threshold > 0 else math.inf), probability


def _abstains(
    question: Question, distribution: Distribution, policy: DecisionPolicy, probability: float
) -> bool:
    if policy.min_label_mass is not None and distribution.label_mass < policy.min_label_mass:
        return True
    if policy.min_probability is not None and probability < policy.min_probability:
        return True
    if policy.abstention_band is None:
        return False
    low, high = policy.abstention_band
    return low <= _present(question, distribution.probabilities) <= high


def _present(question: Question, probabilities: Mapping[str, float]) -> float:
    """The probability an abstention band is held against."""
    if question.negative is None:
        return max(probabilities.values())
    # 1 - P(negative), as a sum: for a yes/no question it is then exactly the P(yes) that a caller
    # sees, so that a band whose end is that number includes it.
    return math.fsum(p for label, p in probabilities.items() if label != question.negative)


def validate_policy(policy: DecisionPolicy) -> None:
    """Check a policy that came from outside.

    Raises:
        UnknownNameError: a threshold names a question or a label that does not exist.
        InvalidRequestError: a number is not between 0 and 1, or a band's low end is above its high
            end.
    """
    for question_id, thresholds in policy.thresholds.items():
        question = QUESTIONS.get(question_id)
        if question is None:
            raise UnknownNameError(  # and it is not repeated: it may be anything
                "`thresholds` names a question that does not exist; choose from: "
                f"{', '.join(QUESTIONS)}.",
                param="thresholds",
            )
        labels = [label.id for label in question.labels]
        for label_id, threshold in thresholds.items():
            if label_id not in labels:
                raise UnknownNameError(
                    f"`thresholds.{question_id}` names a label that does not exist; "
                    f"choose from: {', '.join(labels)}.",
                    param=f"thresholds.{question_id}",
                )
            _check_probability(threshold, f"thresholds.{question_id}.{label_id}")
    if policy.abstention_band is not None:
        low, high = policy.abstention_band
        for end in (low, high):
            _check_probability(end, "abstention_band")
        if low > high:
            raise InvalidRequestError(
                "`abstention_band` must be low, high, with low at most high.",
                param="abstention_band",
            )
    for name in ("min_probability", "min_label_mass"):
        value = getattr(policy, name)
        if value is not None:
            _check_probability(value, name)


def _check_probability(value: float, param: str) -> None:
    if not 0 <= value <= 1:  # this way round it refuses NaN too
        raise InvalidRequestError(f"{param} must be between 0 and 1; it is {value}.", param=param)


def merge(deployment: DecisionPolicy, request: DecisionPolicy | None) -> DecisionPolicy:
    """The policy of one request: what it asks for itself, else the deployment's, field by field.

    Thresholds are merged by question: for a question that the request names, its thresholds
    replace the deployment's (an empty mapping takes them away); those of other questions stay.
    """
    if request is None:
        return deployment
    given = {
        name: value
        for name in ("abstention_band", "min_probability", "min_label_mass")
        if (value := getattr(request, name)) is not None
    }
    return replace(deployment, thresholds={**deployment.thresholds, **request.thresholds}, **given)
