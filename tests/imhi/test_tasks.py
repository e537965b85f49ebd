"""The tables of `imhi.tasks`: literal wording and ids, and that they hang together."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import FrozenInstanceError
from typing import cast

import pytest

from imhi.tasks import DATASETS, QUESTIONS, TASKS, Dataset, Question, UnknownLabelError

TASK_IDS = [
    "depression",
    "stress",
    "loneliness",
    "mental_disorder",
    "stress_cause",
    "depression_cause",
    "wellness",
    "interpersonal_risk",
]

YES_NO = ["yes", "no"]
# Ids are part of the HTTP answer, of calibrations and of result files: add to them, never change.
LABEL_IDS = {
    "depression": YES_NO,
    "stress": YES_NO,
    "loneliness": YES_NO,
    "mental_disorder.tsid": ["none", "suicide_or_self_harm", "depression", "ptsd"],
    "mental_disorder.swmh": ["depression", "suicide", "anxiety", "bipolar_disorder", "none"],
    "stress_cause": [
        "school",
        "financial_problem",
        "family_issues",
        "social_relationships",
        "work",
        "health_issues",
        "emotion_turmoil",
        "everyday_decision_making",
        "other",
    ],
    "depression_cause": [
        "bias_or_abuse",
        "jobs_and_career",
        "medication",
        "relationship",
        "alienation",
        "none",
    ],
    "wellness.spiritual": YES_NO,
    "wellness.physical": YES_NO,
    "wellness.intellectual": YES_NO,
    "wellness.social": YES_NO,
    "wellness.vocational": YES_NO,
    "wellness.emotional": YES_NO,
    "interpersonal_risk.thwarted_belongingness": YES_NO,
    "interpersonal_risk.perceived_burdensomeness": YES_NO,
}

DIMENSIONS = ["spiritual", "physical", "intellectual", "social", "vocational", "emotional"]
WELLNESS_ANSWERS = {
    "yes": "Yes, this wellness dimension exists in the post.",
    "no": "No, this wellness dimension does not exist in the post.",
}
RISK_ANSWERS = {
    "yes": "Yes, the post shows this risk.",
    "no": "No, the post does not show this risk.",
}
# The wording of the benchmark, written out: the question and every answer.
INSTRUCTION_WORDING: dict[str, tuple[str, dict[str, str]]] = {
    "depression": (
        "Does the poster suffer from depression?",
        {
            "yes": "Yes, the poster suffers from depression.",
            "no": "No, the poster does not suffer from depression.",
        },
    ),
    "stress": (
        "Does the poster suffer from stress?",
        {
            "yes": "Yes, the poster suffers from stress.",
            "no": "No, the poster does not suffer from stress.",
        },
    ),
    "loneliness": (
        "Does the poster suffer from loneliness?",
        {
            "yes": "Yes, the poster suffers from loneliness.",
            "no": "No, the poster does not suffer from loneliness.",
        },
    ),
    "mental_disorder.tsid": (
        "What mental disorder does this post show?",
        {
            "none": "This post shows no mental disorders.",
            "suicide_or_self_harm": "This post shows suicide or self-harm tendency.",
            "depression": "This post shows depression.",
            "ptsd": "This post shows PTSD.",
        },
    ),
    "mental_disorder.swmh": (
        "What mental disorder symptoms does this post show?",
        {
            "depression": "This post shows mental disorder symptoms related to depression.",
            "suicide": "This post shows mental disorder symptoms related to suicide.",
            "anxiety": "This post shows mental disorder symptoms related to anxiety.",
            "bipolar_disorder": (
                "This post shows mental disorder symptoms related to bipolar disorder."
            ),
            "none": "This post shows no mental disorder symptoms.",
        },
    ),
    "stress_cause": (
        "What is the stress cause of this post?",
        {
            "school": "This post shows the stress cause related to school.",
            "financial_problem": "This post shows the stress cause related to financial problem.",
            "family_issues": "This post shows the stress cause related to family issues.",
            "social_relationships": (
                "This post shows the stress cause related to social relationships."
            ),
            "work": "This post shows the stress cause related to work.",
            "health_issues": "This post shows the stress cause related to health issues.",
            "emotion_turmoil": "This post shows the stress cause related to emotion turmoil.",
            "everyday_decision_making": (
                "This post shows the stress cause related to everyday decision making."
            ),
            "other": "This post shows other stress causes.",
        },
    ),
    "depression_cause": (
        "What cause of depression does this post show?",
        {
            "bias_or_abuse": "This post shows causes of depression related to bias or abuse.",
            "jobs_and_career": "This post shows causes of depression related to jobs and career.",
            "medication": "This post shows causes of depression related to medication.",
            "relationship": "This post shows causes of depression related to relationship.",
            "alienation": "This post shows causes of depression related to alienation.",
            "none": "This post shows no causes of depression.",
        },
    ),
    **{
        f"wellness.{dimension}": (
            f"Does the {dimension} wellness dimension exist in the post?",
            WELLNESS_ANSWERS,
        )
        for dimension in DIMENSIONS
    },
    "interpersonal_risk.thwarted_belongingness": (
        "Does the post show risk of thwarted belongingness?",
        RISK_ANSWERS,
    ),
    "interpersonal_risk.perceived_burdensomeness": (
        "Does the post show risk of perceived burdensomeness?",
        RISK_ANSWERS,
    ),
}

YES_NO_COMPLETIONS = ["yes.", "no."]
COMPLETION_WORDING: dict[str, tuple[str, list[str]]] = {
    "depression": (
        'The answer to the question "Does the poster suffers from depression?" is',
        YES_NO_COMPLETIONS,
    ),
    "stress": (
        'The answer to the question "Does the poster suffers from stress?" is',
        YES_NO_COMPLETIONS,
    ),
    "loneliness": (
        'The answer to the question "Does the poster suffers from loneliness?" is',
        YES_NO_COMPLETIONS,
    ),
    "mental_disorder.tsid": (
        "This post shows the mental disorder of",
        ["no mental disorders.", "suicide or self-harm tendency.", "depression.", "PTSD."],
    ),
    "mental_disorder.swmh": (
        "This post shows the mental disorder symptoms of",
        [
            "depression.",
            "suicide.",
            "anxiety.",
            "bipolar disorder.",
            "no mental disorder symptoms.",
        ],
    ),
    "stress_cause": (
        "This post shows the stress cause of",
        [
            "school.",
            "financial problem.",
            "family issues.",
            "social relationships.",
            "work.",
            "health issues.",
            "emotional turmoil.",
            "everyday decision making.",
            "other causes.",
        ],
    ),
    "depression_cause": (
        "This post shows the depression cause of",
        [
            "bias or abuse.",
            "jobs and career.",
            "medication.",
            "relationship.",
            "alienation.",
            "none.",
        ],
    ),
    **{
        f"wellness.{dimension}": (
            "The answer to the question "
            f'"Does the {dimension} wellness dimension exists in the post?" is',
            YES_NO_COMPLETIONS,
        )
        for dimension in DIMENSIONS
    },
    "interpersonal_risk.thwarted_belongingness": (
        'The answer to the question: "Does the post shows risk of thwarted belongingness?" is',
        YES_NO_COMPLETIONS,
    ),
    "interpersonal_risk.perceived_burdensomeness": (
        'The answer to the question: "Does the post shows risk of perceived burdensomeness?" is',
        YES_NO_COMPLETIONS,
    ),
}

# id: file name, task, source, train, val, test
DATASET_ROWS = {
    "DR": ("DR", "depression", "Reddit", 1003, 430, 405),
    "CLP": ("CLP", "depression", "Reddit", 456, 196, 299),
    "dreaddit": ("dreaddit", "stress", "Reddit", 2837, 300, 414),
    "SWMH": ("swmh", "mental_disorder", "Reddit", 34822, 8705, 10882),
    "T-SID": ("t-sid", "mental_disorder", "Twitter", 3071, 767, 959),
    "SAD": ("SAD", "stress_cause", "SMS-like", 5547, 616, 684),
    "CAMS": ("CAMS", "depression_cause", "Reddit", 2207, 320, 625),
    "loneliness": ("loneliness", "loneliness", "Reddit", 2463, 527, 531),
    "MultiWD": ("MultiWD", "wellness", "Reddit", 15744, 1500, 2441),
    "IRF": ("Irf", "interpersonal_risk", "Reddit", 3943, 985, 2113),
}

DATASET_QUESTIONS = {
    "DR": ["depression"],
    "CLP": ["depression"],
    "dreaddit": ["stress"],
    "SWMH": ["mental_disorder.swmh"],
    "T-SID": ["mental_disorder.tsid"],
    "SAD": ["stress_cause"],
    "CAMS": ["depression_cause"],
    "loneliness": ["loneliness"],
    "MultiWD": [
        "wellness.spiritual",
        "wellness.physical",
        "wellness.intellectual",
        "wellness.social",
        "wellness.vocational",
        "wellness.emotional",
    ],
    "IRF": [
        "interpersonal_risk.thwarted_belongingness",
        "interpersonal_risk.perceived_burdensomeness",
    ],
}

every_question = pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda q: q.id)
every_dataset = pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda d: d.id)


def test_ids_are_stable() -> None:
    assert list(TASKS) == TASK_IDS
    assert {key: [label.id for label in q.labels] for key, q in QUESTIONS.items()} == LABEL_IDS
    assert list(QUESTIONS) == list(LABEL_IDS)
    assert list(DATASETS) == list(DATASET_ROWS)


def test_keys_are_ids() -> None:
    for table in (TASKS, QUESTIONS, DATASETS):
        assert all(key == entry.id for key, entry in table.items())


@every_question
def test_instruction_wording(question: Question) -> None:
    answers = {label.id: label.answer for label in question.labels}
    assert (question.text, answers) == INSTRUCTION_WORDING[question.id]


@every_question
def test_completion_wording(question: Question) -> None:
    completions = [label.completion for label in question.labels]
    assert (question.stub, completions) == COMPLETION_WORDING[question.id]


@every_question
def test_labels_differ_in_everything_that_names_them(question: Question) -> None:
    for field in ("id", "name", "answer", "completion"):
        values = [getattr(label, field) for label in question.labels]
        assert len(set(values)) == len(values), field


def test_texts_and_stubs_tell_questions_apart() -> None:
    assert len({q.text for q in QUESTIONS.values()}) == 15
    assert len({q.stub for q in QUESTIONS.values()}) == 15


def test_tasks_own_their_questions() -> None:
    owned = [(q.id, task.id) for task in TASKS.values() for q in task.questions]
    assert owned == [(q.id, q.task) for q in QUESTIONS.values()]
    assert all(task.title and task.description.endswith(".") for task in TASKS.values())


def test_no_task_claims_more_than_a_reading() -> None:
    for task in TASKS.values():
        words = f"{task.title} {task.description}".lower()
        assert not any(word in words for word in ("detect", "diagnos", "patient"))


def test_negative_labels() -> None:
    negatives = {question.id: question.negative for question in QUESTIONS.values()}
    expected: dict[str, str | None] = dict.fromkeys(QUESTIONS, "no")
    expected |= {
        "mental_disorder.tsid": "none",
        "mental_disorder.swmh": "none",
        "stress_cause": None,
        "depression_cause": "none",
    }
    assert negatives == expected


@every_question
def test_negative_is_one_of_the_labels(question: Question) -> None:
    if question.negative is not None:
        assert question.label(question.negative).id == question.negative


def test_urgent_labels() -> None:
    urgent = {(q.id, label.id) for q in QUESTIONS.values() for label in q.labels if label.urgent}
    assert urgent == {
        ("mental_disorder.tsid", "suicide_or_self_harm"),
        ("mental_disorder.swmh", "suicide"),
    }


def test_label_by_id() -> None:
    assert QUESTIONS["mental_disorder.tsid"].label("ptsd").name == "PTSD"


def test_unknown_label_says_what_there_is() -> None:
    with pytest.raises(UnknownLabelError) as caught:
        QUESTIONS["stress"].label("maybe")
    assert isinstance(caught.value, KeyError)
    assert str(caught.value) == "question 'stress' has no label 'maybe'; it has: yes, no"


@every_dataset
def test_dataset_rows(dataset: Dataset) -> None:
    row = (
        dataset.file_name,
        dataset.task,
        dataset.source,
        dataset.train,
        dataset.val,
        dataset.test,
    )
    assert row == DATASET_ROWS[dataset.id]


@every_dataset
def test_dataset_questions(dataset: Dataset) -> None:
    assert [question.id for question in dataset.questions] == DATASET_QUESTIONS[dataset.id]
    assert all(question is QUESTIONS[question.id] for question in dataset.questions)
    assert {question.task for question in dataset.questions} == {dataset.task}


def test_every_question_has_a_dataset() -> None:
    assert {q.id for d in DATASETS.values() for q in d.questions} == set(QUESTIONS)


def test_tables_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        QUESTIONS["stress"].text = "?"  # type: ignore[misc]
    with pytest.raises(TypeError):
        cast("MutableMapping[str, Question]", QUESTIONS)["extra"] = QUESTIONS["stress"]
