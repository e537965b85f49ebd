"""Reading responses: the inverse of rendering, free variants, and everything that is no answer."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imhi.parsing import Problem, Response, parse_response
from imhi.tasks import QUESTIONS, Label, Question
from imhi.wording import render_answer, render_completion_answer

NO_LABEL, SEVERAL = Problem.NO_LABEL, Problem.SEVERAL_LABELS

EVERY_LABEL = [(question, label) for question in QUESTIONS.values() for label in question.labels]

labelled = st.sampled_from(EVERY_LABEL)
explanations = st.text().map(str.strip).filter(bool)


def read(text: str, question_id: str) -> str:
    """What the test tables write: a label's id, or the problem."""
    response = parse_response(text, QUESTIONS[question_id])
    if response.label is None:
        assert response.problem is not None
        return response.problem
    assert response.problem is None
    return response.label.id


@given(case=labelled, explanation=explanations)
@example(case=EVERY_LABEL[0], explanation="Reasoning: No. Reasoning: This post shows PTSD.")
def test_rendered_answers_are_read_back(case: tuple[Question, Label], explanation: str) -> None:
    question, label = case
    expected = Response(label, explanation, None)
    assert parse_response(render_answer(label, explanation), question) == expected
    assert parse_response(render_completion_answer(label, explanation), question) == expected


def test_every_label_in_both_wordings() -> None:
    for question, label in EVERY_LABEL:
        # Every other label of the set stands in the explanation, where none of them counts.
        explanation = " ".join(other.answer for other in question.labels)
        for answer in (label.answer, label.completion):
            for text in (
                f"{answer} Reasoning: {explanation}",
                f"  {answer.upper()}\n\nREASONING : {explanation}\n",
                f"{answer.lower().replace(' ', '  ')} {explanation}",
                f"{answer}\n{explanation}",
            ):
                assert parse_response(text, question) == Response(label, explanation, None), text
        for text in (label.answer, label.completion, label.answer.rstrip("."), label.name):
            assert parse_response(text, question) == Response(label, "", None), text
        echoed = f"{question.stub} {label.completion} Reasoning: Because."
        assert parse_response(echoed, question) == Response(label, "Because.", None)


@given(text=st.text(), question=st.sampled_from(list(QUESTIONS.values())))
@example(text="Ye\u017f.", question=QUESTIONS["stress"])  # a long s, which re reads as an s
def test_any_text_is_read_or_given_a_problem(text: str, question: Question) -> None:
    response = parse_response(text, question)
    assert (response.label is None) == (response.problem is not None)
    assert response.label is None or response.label in question.labels
    assert response.explanation == response.explanation.strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes. Reasoning: the post …", "yes"),
        ("yes Reasoning: the post …", "yes"),
        ("no, the post does not mention it. Reasoning: …", "no"),
        (" no. \nReasoning: …", "no"),
        ("YES! The poster cannot rest.", "yes"),
        ("No \u2013 the poster sounds content.", "no"),
        ("No—the poster sounds content.", "no"),
        ("No the poster does not suffer from stress", "no"),
        ('"No". Reasoning: …', "no"),
        ("**Yes**. Reasoning: …", "yes"),
        ("Answer: no\nReasoning: …", "no"),
        ("The answer is yes. Reasoning: …", "yes"),
        # The answer's clause without its first word
        ("The poster suffers from stress. Reasoning: …", "yes"),
        ("The poster does not suffer from stress. Reasoning: …", "no"),
        ("The poster doesn't suffer from stress. Reasoning: …", "no"),
        ("The poster doesn\u2019t suffer from stress. Reasoning: …", "no"),
        # Not an answer's "no" or "yes"
        ("Yes, there is no doubt about it. Reasoning: …", "yes"),
        ("Yes, no doubt. Reasoning: …", "yes"),
        ("Yes, the poster suffers from stress. No one helps. Reasoning: …", "yes"),
        ("Nothing shows it. Reasoning: …", NO_LABEL),
        ("I do not know. Reasoning: …", NO_LABEL),
        ("Not sure. Reasoning: …", NO_LABEL),
        ("None. Reasoning: …", NO_LABEL),
        ("No one knows. Reasoning: …", NO_LABEL),
        ("No doubt. Reasoning: …", NO_LABEL),
        ("Now the poster is tired. Reasoning: …", NO_LABEL),
        ("Yesterday was hard. Reasoning: …", NO_LABEL),
        ("The poster says yes to everything. Reasoning: …", NO_LABEL),
        ("The poster has no time. Reasoning: …", NO_LABEL),
        ("The poster suffers from stressed friends. Reasoning: …", NO_LABEL),
        ("It is unclear whether the poster suffers from stress. Reasoning: …", NO_LABEL),
        # No answer part, or nothing at all
        ("Reasoning: Yes, the poster suffers from stress.", NO_LABEL),
        ("  reasoning: no.", NO_LABEL),
        ("", NO_LABEL),
        (" \n", NO_LABEL),
        ("The post is about rent. Yes, the poster suffers from stress.", NO_LABEL),
        ("No but it comes close. Reasoning: …", "no"),
        # Two answers
        ("No and yes. Reasoning: …", SEVERAL),
        ("Yes and no. Reasoning: …", SEVERAL),
        ("Yes/No. Reasoning: …", SEVERAL),
        ("No. Yes. Reasoning: …", SEVERAL),
        ("Yes, but no. Reasoning: …", SEVERAL),
        ("Yes, the poster suffers from stress. No, the poster does not. Reasoning: …", SEVERAL),
        ("Yes, the poster does not suffer from stress. Reasoning: …", SEVERAL),
        ("No, the poster suffers from stress. Reasoning: …", SEVERAL),
    ],
)
def test_yes_no(text: str, expected: str) -> None:
    assert read(text, "stress") == expected


@pytest.mark.parametrize(
    ("text", "question_id", "expected"),
    [
        (
            " yes, the intellectual aspect of wellness exists in the post. Reasoning: …",
            "wellness.intellectual",
            "yes",
        ),
        (
            "this wellness dimension does not exist in the post. Reasoning: …",
            "wellness.social",
            "no",
        ),
        (
            "Yes, the post does show risk of thwarted belongingness. Reasoning:\n…",
            "interpersonal_risk.thwarted_belongingness",
            "yes",
        ),
        (
            "Yes, the post does not show this risk. Reasoning: …",
            "interpersonal_risk.perceived_burdensomeness",
            SEVERAL,
        ),
    ],
)
def test_yes_no_of_other_tasks(text: str, question_id: str, expected: str) -> None:
    assert read(text, question_id) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("emotional turmoil.", "emotion_turmoil"),
        ("This post shows the stress cause related to emotional turmoil.", "emotion_turmoil"),
        ("This post shows other stress causes.", "other"),
        ("This post shows another stress cause.", NO_LABEL),
        ("other causes", "other"),
        ("other.", "other"),
        ("This post shows other people.", NO_LABEL),
        (
            "This post shows the stress cause related to social relationship.",
            "social_relationships",
        ),
        ("relationships.", "social_relationships"),
        ("This post shows the stress cause related to financial problems.", "financial_problem"),
        ("FINANCIAL ISSUES", "financial_problem"),
        ("everyday decision-making.", "everyday_decision_making"),
        ("work-related stress", "work"),
        ("Not only work.", "work"),
        ("This is no doubt work.", "work"),
        # Words inside words
        ("homework.", NO_LABEL),
        ("working with people.", NO_LABEL),
        ("schooling and networks.", NO_LABEL),
        # Negation, and where it ends
        ("This post shows no stress causes.", NO_LABEL),
        ("This post does not show the stress cause related to work.", NO_LABEL),
        ("Not school, work or family issues.", NO_LABEL),
        ("This post shows the stress cause related to school, not work.", "school"),
        ("This post shows the stress cause related to school rather than work.", "school"),
        ("It's not school but work.", "work"),
        ("It isn't school. It's work.", "work"),
        ("It is unclear whether it is work.", NO_LABEL),
        # Several
        ("This post shows the stress cause related to work and school.", SEVERAL),
        ("work, school.", SEVERAL),
        ("work and relationships.", SEVERAL),
        ("not only school but work.", SEVERAL),
        ("family health.", SEVERAL),
        ("This post shows other stress causes than work.", SEVERAL),
        ("work or other causes.", SEVERAL),
        # The same label twice is one label
        ("Work. This post shows the stress cause related to work.", "work"),
        ("The stress cause is unknown.", NO_LABEL),
        ("Yes.", NO_LABEL),
    ],
)
def test_stress_cause(answer: str, expected: str) -> None:
    assert read(f"{answer} Reasoning: school, work, family, health.", "stress_cause") == expected


NEGATIONS = (
    "no,not,cannot be,nor,never,neither,nothing of,without,rather than,instead of,unrelated to,"
    "a lack of,an absence of,unlikely,unclear,whether it is,isn't"
)
CONTRASTS = (
    " but, except, only, just, merely, other than, apart from, aside from, besides, however,"
    " although, though, yet, instead,. This is,;"
)


def test_what_is_negated_does_not_count_until_a_contrast() -> None:
    for negation in NEGATIONS.split(","):
        assert read(f"school, {negation} work. Reasoning: …", "stress_cause") == "school"
        assert read(f"{negation} school or work. Reasoning: …", "stress_cause") == NO_LABEL
    for contrast in CONTRASTS.split(","):
        assert read(f"not school{contrast} work. Reasoning: …", "stress_cause") == "work"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("This post shows causes of depression related to jobs and career.", "jobs_and_career"),
        ("This post shows causes of depression related to jobs.", "jobs_and_career"),
        ("This post shows causes of depression related to job and careers.", "jobs_and_career"),
        ("Bias.", "bias_or_abuse"),
        ("abuse", "bias_or_abuse"),
        ("Medications.", "medication"),
        ("This post shows causes of depression related to drug abuse.", NO_LABEL),
        ("alcohol abuse", NO_LABEL),
        ("substance abuse", NO_LABEL),
        ("This post shows causes of depression related to relationships.", "relationship"),
        ("This post shows no causes of depression.", "none"),
        ("This post shows no clear cause of depression.", "none"),
        ("This post does not show any causes of depression.", "none"),
        ("This post doesn't show causes of depression.", "none"),
        ("None", "none"),
        ("No causes.", "none"),
        ("No causes of depression such as medication.", "none"),
        ("No causes of depression, but alienation.", SEVERAL),
        ("This post shows no causes of depression related to alienation.", NO_LABEL),
        ("This post shows depression.", NO_LABEL),
        ("No.", NO_LABEL),
        ("This post shows no mental disorders.", NO_LABEL),
        ("Nonetheless.", NO_LABEL),
        ("Alienation and medication.", SEVERAL),
    ],
)
def test_depression_cause(answer: str, expected: str) -> None:
    assert read(f"{answer} Reasoning: alienation, none.", "depression_cause") == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("This post shows no mental disorders.", "none"),
        ("no mental disorder", "none"),
        ("This post shows no mental disorder symptoms.", "none"),
        ("This post does not show any mental disorders.", "none"),
        ("This post shows no mental disorders such as depression or PTSD.", "none"),
        ("This post shows no mental disorders except depression.", SEVERAL),
        ("This post shows suicide or self harm tendency.", "suicide_or_self_harm"),
        ("suicidal tendencies", "suicide_or_self_harm"),
        ("Self-harm.", "suicide_or_self_harm"),
        ("Self\u2011harm.", "suicide_or_self_harm"),
        ("This post shows ptsd.", "ptsd"),
        ("Post-traumatic stress disorder.", "ptsd"),
        ("This post shows depression, not PTSD.", "depression"),
        ("This post shows depression and PTSD.", SEVERAL),
        # Another question's sentences
        ("This post shows causes of depression related to alienation.", NO_LABEL),
        ("This post shows no causes of depression.", NO_LABEL),
        ("This post shows no depression.", NO_LABEL),
        ("This post does not show suicide or self-harm tendency.", NO_LABEL),
        ("This post shows the depression cause of none of these.", "none"),
        ("The poster is depressed.", NO_LABEL),
    ],
)
def test_mental_disorder_tsid(answer: str, expected: str) -> None:
    assert read(f"{answer} Reasoning: depression, PTSD.", "mental_disorder.tsid") == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("This post shows mental disorder symptoms related to suicide.", "suicide"),
        ("suicide or self-harm tendency.", "suicide"),
        ("suicidal thoughts", "suicide"),
        ("This post shows bipolar.", "bipolar_disorder"),
        (
            "This post shows mental disorder symptoms related to Bipolar Disorder",
            "bipolar_disorder",
        ),
        ("This post shows no mental disorders.", "none"),
        ("This post shows no symptoms related to anxiety.", NO_LABEL),
        ("This post shows no mental disorder symptoms related to anxiety.", NO_LABEL),
        ("This post shows mental disorder symptoms.", NO_LABEL),
        ("This post shows mental disorder symptoms related to anxiety or depression.", SEVERAL),
        ("This post shows causes of depression related to anxiety.", "anxiety"),
    ],
)
def test_mental_disorder_swmh(answer: str, expected: str) -> None:
    assert read(f"{answer} Reasoning: anxiety, suicide.", "mental_disorder.swmh") == expected


@pytest.mark.parametrize(
    ("text", "explanation"),
    [
        ("Yes, the poster suffers from stress. Reasoning: A. B.", "A. B."),
        ("Yes. Reasoning:", ""),
        ("Yes.Reasoning:A", "A"),
        ("Yes, the poster suffers from stress. A. B.", "A. B."),
        ("Yes\n\nA. B.", "A. B."),
        ("Yes, because of the rent", ""),
        ("Reasoning: A. B.", "A. B."),
        # No label and no "Reasoning:": nothing is thrown away
        ("The poster is tired. And stressed.", "The poster is tired. And stressed."),
        ("Yes and no. A.", "A."),
    ],
)
def test_explanation(text: str, explanation: str) -> None:
    assert parse_response(text, QUESTIONS["stress"]).explanation == explanation
