import pytest

from imhi.tasks import QUESTIONS
from training.data.verdict import verdict


@pytest.mark.parametrize(
    ("question", "sentence", "label"),
    [
        ("stress", "This suggests that the poster is likely suffering from ongoing stress.", "yes"),
        ("stress", "There is no clear indication of stress in this post.", "no"),
        ("stress", "It is unlikely that the poster is suffering from stress.", "no"),
        ("stress", "The poster doesn't appear to be experiencing stress.", "no"),
        ("stress", "The day was long.", None),
        ("stress", "The poster may be experiencing stress.", None),
        ("stress", "It is difficult to say whether the poster suffers from stress.", None),
        ("stress", "While there are signs of stress, the post is calm.", None),
        ("stress", "They do not sleep, which are signs of stress.", None),
        ("depression", "Tired days are common symptoms of depression.", "yes"),
        ("depression", "Lack of sleep and joy are common symptoms of depression.", None),
        ("depression", "The poster does not suffer from depression.", "no"),
        ("loneliness", "Overall, the post shows loneliness.", "yes"),
        (
            "interpersonal_risk.perceived_burdensomeness",
            "Overall, the post shows a risk of perceived burdensomeness.",
            "yes",
        ),
        (
            "interpersonal_risk.perceived_burdensomeness",
            "Overall, the post shows a risk of thwarted belongingness.",
            None,
        ),
        ("wellness.social", "This demonstrates the social dimension of wellness.", "yes"),
        ("wellness.social", "The post does not reflect the social wellness dimension.", "no"),
        ("stress_cause", "Therefore, the appropriate label for this post is Work.", "work"),
        ("stress_cause", "This makes Family issues the most relevant label.", "family_issues"),
        ("stress_cause", "The label could be Work or School.", None),
        ("stress_cause", "Work is tiring.", None),
        (
            "mental_disorder.tsid",
            'Therefore, the assigned label would be "no mental disorders".',
            "none",
        ),
    ],
)
def test_last_sentences(question: str, sentence: str, label: str | None) -> None:
    said = verdict(f"The post speaks of a long day. {sentence}", QUESTIONS[question])
    assert (said.id if said else None) == label


def test_only_the_last_sentence_counts() -> None:
    text = "There is no indication of stress. The poster is experiencing stress."
    said = verdict(text, QUESTIONS["stress"])
    assert said is not None
    assert said.id == "yes"


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.id)
def test_nothing_is_no_verdict(question) -> None:
    assert verdict("", question) is None
