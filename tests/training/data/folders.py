"""A small data folder in the released layout, with posts written for these tests."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from imhi.tasks import QUESTIONS, Label, Question
from imhi.wording import render_answer, render_query
from training.data.example import Example, Origin, Split

STRESS = QUESTIONS["stress"]
LONELINESS = QUESTIONS["loneliness"]
SAD = QUESTIONS["stress_cause"]
CAMS = QUESTIONS["depression_cause"]
BELONGING = QUESTIONS["interpersonal_risk.thwarted_belongingness"]

INSTRUCTION = ("query", "gpt-3.5-turbo")
COMPLETION = ("post", "question", "response")

_TOPICS = (
    "the long queue at the post office",
    "my exam on ancient history next Monday",
    "the broken heating in our hallway",
    "an argument with my sister about the car",
    "the night shifts that were added this month",
    "moving to a town where I know nobody",
)


def post(number: int) -> str:
    """A post of its own for each number: no two are nearly the same."""
    topic = _TOPICS[number % len(_TOPICS)]
    words = " ".join(f"thing{number}x{i}" for i in range(12))
    return f"Entry {number}: I wrote this about {topic}, and about {words}."


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def instruction(
    text: str, question: Question, label: str, explanation: str = "The post says so."
) -> tuple[str, str]:
    answer = render_answer(question.label(label), explanation)
    return render_query(text, question), answer


def completion(
    text: str, question: Question, label: str, explanation: str = "The post says so."
) -> tuple[str, str, str]:
    """As the files have it: the post's column and the question's hold the wording's own words."""
    answer = f"{question.label(label).completion} Reasoning: {explanation}"
    return f"Post: {text}", f" Question: {question.stub} ", answer


def train_file(folder: Path, name: str, wording: str = "instruction_data") -> Path:
    return folder / "train_data" / wording / name


def example(
    text: str,
    question: Question = STRESS,
    label: str = "yes",
    *,
    set_id: str = "dreaddit",
    split: Split = Split.TRAIN,
    row: int = 1,
    explanation: str | None = "The post says so.",
    annotation: Label | None = None,
) -> Example:
    return Example(
        post=text,
        question=question,
        label=question.label(label),
        origin=Origin.REFERENCE,
        set=set_id,
        split=split,
        source=f"{set_id}/{split}.csv",
        row=row,
        explanation=explanation,
        annotation=annotation,
    )


def small_folder(folder: Path) -> Path:
    """Make dreaddit with train and val, loneliness val, and raw IRF and CAMS rows.

    Post 1 of dreaddit train stands in loneliness val too, post 2 is in it nearly; row 12 is broken.
    Every rule of text has something to mend, and raw IRF overlaps no released row.
    """
    damaged = "Rain \N{EM DASH} and I am late again".encode().decode("mac_roman")
    write_csv(
        train_file(folder / "imhi", "dreaddit/train.csv"),
        INSTRUCTION,
        [
            *(instruction(post(n), STRESS, "yes" if n % 2 else "no") for n in range(1, 11)),
            instruction(damaged, STRESS, "no"),
            instruction("#NAME?", STRESS, "no"),
        ],
    )
    write_csv(
        train_file(folder / "imhi", "dreaddit/val.csv"),
        INSTRUCTION,
        [
            instruction(post(21), STRESS, "yes"),
            instruction("too short", STRESS, "no"),
            instruction("Work &amp; sleep, and nothing beside", STRESS, "yes"),
        ],
    )
    write_csv(
        train_file(folder / "imhi", "loneliness/val.csv"),
        INSTRUCTION,
        [
            instruction(post(1).upper(), LONELINESS, "no"),
            instruction(post(2) + " Really.", LONELINESS, "yes"),
        ],
    )
    write_csv(
        folder / "raw/Irf/train_data.csv",
        ("", "text", "belong", "belong_exp", "burden", "burden_exp"),
        [
            ("0", post(31), "1", "thing31x0 thing31x1", "0", ""),
            ("1", post(32), "0", "", "1", "words that are not there"),
        ],
    )
    write_csv(
        folder / "raw/CAMS/added_CAMS_data.csv",
        ("selftext", "cause", "inference"),
        [(post(n), str(n % 6), f"thing{n}x3, nothing, thing{n}x5") for n in range(40, 70)],
    )
    return folder
