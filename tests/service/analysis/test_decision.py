import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imhi.tasks import QUESTIONS
from service.analysis.decision import decide, merge, validate_policy
from service.analysis.types import DecisionPolicy, Distribution
from service.errors import InvalidRequestError, UnknownNameError

STRESS = QUESTIONS["stress"]
DISORDER = QUESTIONS["mental_disorder.tsid"]  # none, suicide_or_self_harm, depression, ptsd
CAUSE = QUESTIONS["stress_cause"]  # no negative label
PLAIN = DecisionPolicy()
UNIT = st.floats(min_value=0, max_value=1)


def spread(question, *probabilities, mass=1.0):
    """A distribution with these probabilities, in the question's order; the rest get none."""
    padded = [*probabilities, *[0.0] * (len(question.labels) - len(probabilities))]
    labels = [label.id for label in question.labels]
    return Distribution(dict(zip(labels, padded, strict=True)), mass)


def thresholds(question, **values):
    return DecisionPolicy(thresholds={question.id: values})


@st.composite
def distributions(draw, question):
    weights = [draw(st.floats(min_value=0, max_value=1)) for _ in question.labels]
    weights[draw(st.integers(0, len(weights) - 1))] += 0.1
    return spread(question, *(w / math.fsum(weights) for w in weights), mass=draw(UNIT))


@st.composite
def policies(draw, question):
    labels = st.sampled_from([label.id for label in question.labels])
    low, high = sorted([draw(UNIT), draw(UNIT)])
    return DecisionPolicy(
        thresholds={question.id: draw(st.dictionaries(labels, UNIT))},
        abstention_band=draw(st.none() | st.just((low, high))),
        min_probability=draw(st.none() | UNIT),
        min_label_mass=draw(st.none() | UNIT),
    )


@st.composite
def cases(draw):
    question = draw(st.sampled_from(list(QUESTIONS.values())))
    return question, draw(distributions(question)), draw(policies(question))


def test_without_a_policy_the_most_probable_label_is_decided():
    decision = decide(DISORDER, spread(DISORDER, 0.2, 0.1, 0.6, 0.1), PLAIN)
    assert (decision.label, decision.candidate, decision.probability) == (
        "depression",
        "depression",
        0.6,
    )


def test_ties_go_to_the_first_label_of_the_question():
    shuffled = Distribution({"no": 0.5, "yes": 0.5}, 1.0)
    assert decide(STRESS, shuffled, PLAIN).label == "yes"


def test_a_low_threshold_wins_over_the_most_probable_label():
    policy = thresholds(STRESS, yes=0.2)
    assert decide(STRESS, spread(STRESS, 0.2, 0.8), policy).label == "yes"
    assert decide(STRESS, spread(STRESS, 0.19, 0.81), policy).label == "no"


def test_a_high_threshold_loses_the_most_probable_label():
    decision = decide(STRESS, spread(STRESS, 0.8, 0.2), thresholds(STRESS, yes=0.9))
    assert (decision.label, decision.probability) == ("no", 0.2)


def test_the_largest_ratio_of_the_eligible_wins():
    distribution = spread(DISORDER, 0.5, 0.2, 0.3)
    policy = thresholds(DISORDER, suicide_or_self_harm=0.1, depression=0.25)
    assert decide(DISORDER, distribution, policy).label == "suicide_or_self_harm"
    policy = thresholds(DISORDER, suicide_or_self_harm=0.19, depression=0.25)
    assert decide(DISORDER, distribution, policy).label == "depression"


def test_a_threshold_of_zero_beats_every_ratio():
    policy = thresholds(DISORDER, none=0.0, depression=0.01)
    assert decide(DISORDER, spread(DISORDER, 0.0, 0.1, 0.9), policy).label == "none"
    policy = thresholds(DISORDER, none=0.0, depression=0.0)
    assert decide(DISORDER, spread(DISORDER, 0.1, 0.0, 0.9), policy).label == "depression"


def test_every_label_has_a_threshold_and_none_is_reached():
    decision = decide(STRESS, spread(STRESS, 0.55, 0.45), thresholds(STRESS, yes=0.7, no=0.7))
    assert (decision.label, decision.candidate, decision.probability) == (None, "yes", 0.55)
    assert decision.abstained


def test_thresholds_of_another_question_do_not_count():
    policy = thresholds(QUESTIONS["loneliness"], yes=0.0)
    assert decide(STRESS, spread(STRESS, 0.1, 0.9), policy).label == "no"


@pytest.mark.parametrize(
    ("yes", "label"), [(0.29, "no"), (0.3, None), (0.5, None), (0.7, None), (0.71, "yes")]
)
def test_band_on_the_probability_of_presence(yes, label):
    policy = DecisionPolicy(abstention_band=(0.3, 0.7))
    decision = decide(STRESS, spread(STRESS, yes, 1 - yes), policy)
    assert decision.label == label
    assert decision.candidate == ("yes" if yes >= 0.5 else "no")


def test_band_counts_all_labels_but_the_negative():
    # No label but `none` reaches 0.3; together they are 0.6.
    distribution = spread(DISORDER, 0.4, 0.2, 0.2, 0.2)
    assert decide(DISORDER, distribution, DecisionPolicy(abstention_band=(0.55, 0.65))).abstained
    decision = decide(DISORDER, distribution, DecisionPolicy(abstention_band=(0.35, 0.45)))
    assert decision.label == "none"


def test_band_without_a_negative_label_is_on_the_largest_probability():
    distribution = spread(CAUSE, 0.4, 0.3, 0.3)
    assert decide(CAUSE, distribution, DecisionPolicy(abstention_band=(0.4, 0.4))).abstained
    decision = decide(CAUSE, distribution, DecisionPolicy(abstention_band=(0.41, 1.0)))
    assert decision.label == "school"


def test_band_of_one_point_includes_the_probability_shown():
    # 1 - 0.9 is not 0.1 in binary floating point
    policy = DecisionPolicy(abstention_band=(0.1, 0.1))
    assert decide(STRESS, spread(STRESS, 0.1, 0.9), policy).abstained


def test_minimum_probability_is_of_the_candidate():
    policy = DecisionPolicy(thresholds={"stress": {"yes": 0.2}}, min_probability=0.5)
    decision = decide(STRESS, spread(STRESS, 0.3, 0.7), policy)
    assert (decision.label, decision.candidate, decision.probability) == (None, "yes", 0.3)
    assert not decide(STRESS, spread(STRESS, 0.5, 0.5), policy).abstained


def test_minimum_label_mass():
    policy = DecisionPolicy(min_label_mass=0.5)
    assert decide(STRESS, spread(STRESS, 0.9, 0.1, mass=0.49), policy).abstained
    assert decide(STRESS, spread(STRESS, 0.9, 0.1, mass=0.5), policy).label == "yes"


@given(cases())
def test_decision_is_the_candidate_or_nothing(case):
    question, distribution, policy = case
    decision = decide(question, distribution, policy)
    assert decision.candidate in {label.id for label in question.labels}
    assert decision.label in (decision.candidate, None)
    assert decision.probability == distribution.probabilities[decision.candidate]


@given(cases())
def test_a_decided_label_keeps_every_rule(case):
    question, distribution, policy = case
    decision = decide(question, distribution, policy)
    if decision.abstained:
        return
    limits = policy.thresholds[question.id]
    reached = {x for x in limits if distribution.probabilities[x] >= limits[x]}
    assert (decision.label in reached) == bool(reached)
    assert decision.probability >= limits.get(decision.label, 0)
    assert decision.probability >= (policy.min_probability or 0)
    assert distribution.label_mass >= (policy.min_label_mass or 0)


@given(cases())
def test_without_abstention_fields_only_missed_thresholds_abstain(case):
    question, distribution, policy = case
    limits = policy.thresholds[question.id]
    decision = decide(question, distribution, thresholds(question, **limits))
    assert decision.abstained == (
        len(limits) == len(question.labels)
        and all(distribution.probabilities[x] < limit for x, limit in limits.items())
    )


@pytest.mark.parametrize(
    ("policy", "error", "param", "words"),
    [
        (DecisionPolicy({"joy": {"yes": 0.5}}), UnknownNameError, "thresholds", "not exist"),
        (DecisionPolicy({"joy": {}}), UnknownNameError, "thresholds", "loneliness"),
        (
            DecisionPolicy({"stress": {"maybe": 0.5}}),
            UnknownNameError,
            "thresholds.stress",
            "yes, no",
        ),
        (
            DecisionPolicy({"stress": {"yes": 1.5}}),
            InvalidRequestError,
            "thresholds.stress.yes",
            "between 0 and 1",
        ),
        (
            DecisionPolicy({"stress": {"yes": math.nan}}),
            InvalidRequestError,
            "thresholds.stress.yes",
            "nan",
        ),
        (
            DecisionPolicy(abstention_band=(0.6, 0.4)),
            InvalidRequestError,
            "abstention_band",
            "low at most high",
        ),
        (
            DecisionPolicy(abstention_band=(-0.1, 0.4)),
            InvalidRequestError,
            "abstention_band",
            "-0.1",
        ),
        (
            DecisionPolicy(abstention_band=(0.1, 1.4)),
            InvalidRequestError,
            "abstention_band",
            "1.4",
        ),
        (DecisionPolicy(min_probability=2), InvalidRequestError, "min_probability", "2"),
        (DecisionPolicy(min_label_mass=-1), InvalidRequestError, "min_label_mass", "-1"),
    ],
)
def test_invalid_policies_are_refused(policy, error, param, words):
    with pytest.raises(error) as caught:
        validate_policy(policy)
    assert caught.value.param == param
    assert words in caught.value.message


@pytest.mark.parametrize(
    "policy",
    [
        DecisionPolicy({"I slept badly again": {"yes": 0.5}}),
        DecisionPolicy({"stress": {"I slept badly again": 0.5}}),
        DecisionPolicy({"slept": {"yes": 0.5}}),
        DecisionPolicy({"stress": {"slept": 0.5}}),
    ],
)
def test_text_in_the_place_of_a_name_is_not_repeated(policy):
    with pytest.raises(UnknownNameError) as caught:
        validate_policy(policy)
    assert "slept" not in caught.value.message + caught.value.param


def test_merge_takes_the_requests_fields_first():
    deployment = DecisionPolicy(
        thresholds={"stress": {"yes": 0.4, "no": 0.4}, "loneliness": {"yes": 0.3}},
        abstention_band=(0.4, 0.6),
        min_probability=0.5,
    )
    request = DecisionPolicy(
        thresholds={"stress": {"yes": 0.9}}, abstention_band=(0.45, 0.55), min_label_mass=0.1
    )
    assert merge(deployment, request) == DecisionPolicy(
        thresholds={"stress": {"yes": 0.9}, "loneliness": {"yes": 0.3}},
        abstention_band=(0.45, 0.55),
        min_probability=0.5,
        min_label_mass=0.1,
    )


def test_merge_can_set_a_field_to_zero_and_take_thresholds_away():
    deployment = DecisionPolicy(thresholds={"stress": {"yes": 0.4}}, min_probability=0.5)
    merged = merge(deployment, DecisionPolicy(thresholds={"stress": {}}, min_probability=0.0))
    assert merged == DecisionPolicy(thresholds={"stress": {}}, min_probability=0.0)


@given(policies(STRESS))
def test_merge_with_nothing_is_the_deployments(policy):
    assert merge(policy, None) == policy
    assert merge(policy, PLAIN) == policy
    assert merge(PLAIN, policy) == policy
