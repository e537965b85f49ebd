"""The 8 tasks, 15 questions and 10 data sets of IMHI, as frozen data.

A request names tasks; a task owns questions; a question has a fixed tuple of labels, each with
its full answer sentence. `TASKS`, `QUESTIONS` and `DATASETS` are the only tables of these in the
project: `imhi.wording` renders them, `imhi.parsing` reads them back, everything else looks up ids
here.

Source of the wording: the IMHI benchmark (MentalLLaMA, arXiv 2309.13567) and its released files;
the counts are those of the paper. The wording's grammar slips ("Does the poster suffers") are the
benchmark's own and must stay: models were trained on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

WORDING_VERSION: str = "imhi-1"
"""Changes whenever any question, stub or answer does: calibration is valid for one version only."""


class UnknownLabelError(KeyError):
    """A label id that a question does not have."""

    def __init__(self, label_id: str, question: Question) -> None:
        super().__init__(label_id)
        known = ", ".join(label.id for label in question.labels)
        self.message = f"question {question.id!r} has no label {label_id!r}; it has: {known}"

    def __str__(self) -> str:  # KeyError's own shows the bare key
        return self.message


@dataclass(frozen=True, slots=True)
class Label:
    """One of the possible answers to a question."""

    id: str
    """Stable snake_case id, unique within its question."""
    name: str
    """How the label is called in words, as in the answer sentence."""
    answer: str
    """The full answer sentence in the instruction wording."""
    completion: str
    """The answer in the completion wording: what follows the question's stub."""
    urgent: bool = False
    """Whether the label points to suicide or self-harm."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a post, with its closed set of labels."""

    id: str
    task: str
    """Id of the task that owns the question."""
    text: str
    """The question in the instruction wording."""
    stub: str
    """The sentence that a label's completion ends, in the completion wording."""
    labels: tuple[Label, ...]
    negative: str | None
    """Id of the label that says "not present"; None where every label names something present."""

    def label(self, label_id: str) -> Label:
        """Return the label with this id, or raise `UnknownLabelError`, a `KeyError`."""
        for label in self.labels:
            if label.id == label_id:
                return label
        raise UnknownLabelError(label_id, self)


@dataclass(frozen=True, slots=True)
class Task:
    """One or more questions that are asked together."""

    id: str
    title: str
    description: str
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """One of the ten annotated sets that IMHI is built from."""

    id: str
    file_name: str
    """Stem or folder of the set in IMHI's released files. CLP and SWMH need a signed agreement."""
    task: str
    """Id of the task that the set is annotated for."""
    source: str
    """Where the posts were written."""
    train: int
    """Rows (a post and a question) in the split; so for `val` and `test`."""
    val: int
    test: int
    questions: tuple[Question, ...]


_URGENT = frozenset({"suicide", "suicide_or_self_harm"})


def _named(sentence: str, **names: str) -> tuple[Label, ...]:
    """Labels by id and name, whose answer is `sentence` with the name filled in."""
    return tuple(
        Label(label_id, name, sentence.format(name), f"{name}.", urgent=label_id in _URGENT)
        for label_id, name in names.items()
    )


def _yes_no(yes: str, no: str) -> tuple[Label, Label]:
    return Label("yes", "yes", f"Yes, {yes}.", "yes."), Label("no", "no", f"No, {no}.", "no.")


def _suffers(condition: str) -> Question:
    # The stub is in released files for depression and stress. For loneliness it is by analogy, not
    # from a file.
    return Question(
        id=condition,
        task=condition,
        text=f"Does the poster suffer from {condition}?",
        stub=f'The answer to the question "Does the poster suffers from {condition}?" is',
        labels=_yes_no(
            yes=f"the poster suffers from {condition}",
            no=f"the poster does not suffer from {condition}",
        ),
        negative="no",
    )


def _wellness(dimension: str) -> Question:
    return Question(
        id=f"wellness.{dimension}",
        task="wellness",
        text=f"Does the {dimension} wellness dimension exist in the post?",
        stub=(
            "The answer to the question "
            f'"Does the {dimension} wellness dimension exists in the post?" is'
        ),
        labels=_yes_no(
            yes="this wellness dimension exists in the post",
            no="this wellness dimension does not exist in the post",
        ),
        negative="no",
    )


def _risk(question_id: str, risk: str) -> Question:
    return Question(
        id=f"interpersonal_risk.{question_id}",
        task="interpersonal_risk",
        text=f"Does the post show risk of {risk}?",
        # The colon after "question" is in this set's files only.
        stub=f'The answer to the question: "Does the post shows risk of {risk}?" is',
        labels=_yes_no(yes="the post shows this risk", no="the post does not show this risk"),
        negative="no",
    )


_TSID = Question(
    id="mental_disorder.tsid",
    task="mental_disorder",
    text="What mental disorder does this post show?",
    # by analogy with SAD's, not from a file
    stub="This post shows the mental disorder of",
    labels=_named(
        "This post shows {}.",
        none="no mental disorders",
        suicide_or_self_harm="suicide or self-harm tendency",
        depression="depression",
        ptsd="PTSD",
    ),
    negative="none",
)

_SWMH = Question(
    id="mental_disorder.swmh",
    task="mental_disorder",
    text="What mental disorder symptoms does this post show?",
    # by analogy with SAD's, not from a file
    stub="This post shows the mental disorder symptoms of",
    labels=(
        *_named(
            "This post shows mental disorder symptoms related to {}.",
            depression="depression",
            suicide="suicide",
            anxiety="anxiety",
            bipolar_disorder="bipolar disorder",
        ),
        *_named("This post shows {}.", none="no mental disorder symptoms"),
    ),
    negative="none",
)

_SAD = Question(
    id="stress_cause",
    task="stress_cause",
    text="What is the stress cause of this post?",
    stub="This post shows the stress cause of",
    labels=(
        *_named(
            "This post shows the stress cause related to {}.",
            school="school",
            financial_problem="financial problem",
            family_issues="family issues",
            social_relationships="social relationships",
            work="work",
            health_issues="health issues",
        ),
        # The two wordings name this label and the last one differently.
        Label(
            id="emotion_turmoil",
            name="emotion turmoil",
            answer="This post shows the stress cause related to emotion turmoil.",
            completion="emotional turmoil.",
        ),
        *_named(
            "This post shows the stress cause related to {}.",
            everyday_decision_making="everyday decision making",
        ),
        Label(
            id="other",
            name="other stress causes",
            answer="This post shows other stress causes.",
            completion="other causes.",
        ),
    ),
    negative=None,
)

_CAMS = Question(
    id="depression_cause",
    task="depression_cause",
    text="What cause of depression does this post show?",
    # by analogy with SAD's, not from a file
    stub="This post shows the depression cause of",
    labels=(
        *_named(
            "This post shows causes of depression related to {}.",
            bias_or_abuse="bias or abuse",
            jobs_and_career="jobs and career",
            medication="medication",
            relationship="relationship",
            alienation="alienation",
        ),
        Label(
            id="none",
            name="no causes of depression",
            answer="This post shows no causes of depression.",
            completion="none.",  # the word that IMHI's rule scorer looks for
        ),
    ),
    negative="none",
)


_TASKS = (
    Task(
        id="depression",
        title="Depression",
        description="Whether the post reads as if the poster suffers from depression.",
        questions=(_suffers("depression"),),
    ),
    Task(
        id="stress",
        title="Stress",
        description="Whether the post reads as if the poster suffers from stress.",
        questions=(_suffers("stress"),),
    ),
    Task(
        id="loneliness",
        title="Loneliness",
        description="Whether the post reads as if the poster suffers from loneliness.",
        questions=(_suffers("loneliness"),),
    ),
    Task(
        id="mental_disorder",
        title="Mental disorders",
        description="Which mental disorder, if any, the post's words resemble, in two label sets.",
        questions=(_TSID, _SWMH),
    ),
    Task(
        id="stress_cause",
        title="Stress cause",
        description="What the post gives as the cause of stress.",
        questions=(_SAD,),
    ),
    Task(
        id="depression_cause",
        title="Depression cause",
        description="What the post gives as the cause of depression, if it gives one.",
        questions=(_CAMS,),
    ),
    Task(
        id="wellness",
        title="Wellness dimensions",
        description="Which of six dimensions of wellness the post speaks about.",
        questions=(
            _wellness("spiritual"),
            _wellness("physical"),
            _wellness("intellectual"),
            _wellness("social"),
            _wellness("vocational"),
            _wellness("emotional"),
        ),
    ),
    Task(
        id="interpersonal_risk",
        title="Interpersonal risk factors",
        description="Whether the post speaks of not belonging, or of being a burden to others.",
        questions=(
            _risk("thwarted_belongingness", "thwarted belongingness"),
            _risk("perceived_burdensomeness", "perceived burdensomeness"),
        ),
    ),
)

TASKS: Mapping[str, Task] = MappingProxyType({task.id: task for task in _TASKS})
"""The 8 tasks by id."""

QUESTIONS: Mapping[str, Question] = MappingProxyType(
    {question.id: question for task in _TASKS for question in task.questions}
)
"""The 15 questions by id, in the order of the tasks."""


def _dataset(
    dataset_id: str, file_name: str, source: str, counts: tuple[int, int, int], questions: str
) -> Dataset:
    """`counts` are train, val, test; `questions` is a question id or a task id."""
    asked = TASKS[questions].questions if questions in TASKS else (QUESTIONS[questions],)
    return Dataset(dataset_id, file_name, asked[0].task, source, *counts, questions=asked)


DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        dataset.id: dataset
        for dataset in (
            _dataset("DR", "DR", "Reddit", (1003, 430, 405), "depression"),
            _dataset("CLP", "CLP", "Reddit", (456, 196, 299), "depression"),
            _dataset("dreaddit", "dreaddit", "Reddit", (2837, 300, 414), "stress"),
            _dataset("SWMH", "swmh", "Reddit", (34822, 8705, 10882), "mental_disorder.swmh"),
            _dataset("T-SID", "t-sid", "Twitter", (3071, 767, 959), "mental_disorder.tsid"),
            _dataset("SAD", "SAD", "SMS-like", (5547, 616, 684), "stress_cause"),
            _dataset("CAMS", "CAMS", "Reddit", (2207, 320, 625), "depression_cause"),
            _dataset("loneliness", "loneliness", "Reddit", (2463, 527, 531), "loneliness"),
            _dataset("MultiWD", "MultiWD", "Reddit", (15744, 1500, 2441), "wellness"),
            _dataset("IRF", "Irf", "Reddit", (3943, 985, 2113), "interpersonal_risk"),
        )
    }
)
"""The 10 sets by id."""
