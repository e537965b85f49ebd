from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imhi.parsing import parse_response
from imhi.tasks import DATASETS, QUESTIONS
from training.errors import DataError
from training.evaluate.records import Explained, FreeForm, Read, Record
from training.evaluate.released_layout import write_released_layout

EXPLANATION = 'The poster writes "so tired",\nand means it.'

# What `label_inference.py` of the public repository looks for in the answer part of a golden, in
# lower case and in this order; the place of the word that is found is the label.
GOLDEN_RULES = {
    "swmh": ["no mental", "suicide", "depression", "anxiety", "bipolar"],
    "t-sid": ["depression", "suicide or self-harm", "ptsd", "no mental"],
    "SAD": [
        *("school", "financial problem", "family issues", "social relationships", "work"),
        *("health issues", "emotion turmoil", "everyday decision making", "other"),
    ],
    "CAMS": [
        *("no causes", "bias or abuse", "jobs and career", "medication", "relationship"),
        "alienation",
    ],
    **{name: ["yes", "no"] for name in ("CLP", "DR", "dreaddit", "loneliness", "Irf", "MultiWD")},
}
# What the rules of `IMHI.py` look for in the first 70 characters of a generated text.
OUTPUT_RULES = {
    **GOLDEN_RULES,
    "t-sid": ["depression", "suicide", "ptsd", "no mental"],
    "SAD": [
        *("school", "financial", "family", "social", "work", "health", "emotional", "decision"),
        "other",
    ],
    "CAMS": ["none", "bias", "jobs", "medication", "relationship", "alienation"],
}
# Answers that those rules do not know: counted as the label that is last resort.
UNREADABLE_OUTPUTS = {("SAD", "emotion_turmoil"), ("CAMS", "none")}


def record(set_id: str, question: str, label: str, number: int = 1, **changes) -> Record:
    labels = [one.id for one in QUESTIONS[question].labels]
    rest = 0.4 / (len(labels) - 1)
    probabilities = {one: 0.6 if one == label else rest for one in labels}
    made = Record(
        id=f"{set_id}:{question}:{label}:{number}",
        set=set_id,
        split="val",
        question=question,
        post="I am so tired of the move.",
        post_key="0" * 16,
        reference=label,
        reference_explanation=EXPLANATION,
        read=Read({}, probabilities, 0.9),
        explained=Explained(label, EXPLANATION, "stop", 9, 0.9),
        free_form=FreeForm("Reasoning: " + EXPLANATION, "stop", 9, None, EXPLANATION, "no_label"),
    )
    return replace(made, **changes)


EVERY_LABEL = [
    record(dataset.id, question.id, label.id)
    for dataset in DATASETS.values()
    for question in dataset.questions
    for label in question.labels
]


def table(path: Path) -> dict[str, list[object]]:
    """As the scorers read it."""
    import pandas

    return pandas.read_csv(path).to_dict(orient="list")


def first(words: list[str], text: str) -> int | None:
    return next((i for i, word in enumerate(words) if word in text.lower()), None)


def test_one_file_a_set_by_its_released_name(tmp_path: Path):
    written = write_released_layout(EVERY_LABEL, tmp_path)
    names = {f"{name}.csv" for name in GOLDEN_RULES}
    assert {path.name for path in tmp_path.iterdir()} == {"read", "free_form"}
    for way in ("read", "free_form"):
        assert {path.name for path in (tmp_path / way).iterdir()} == names
        assert written[way] == {
            dataset.id: sum(len(question.labels) for question in dataset.questions)
            for dataset in DATASETS.values()
        }


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset.id)
def test_the_scorers_read_every_label(tmp_path: Path, dataset):
    records = [one for one in EVERY_LABEL if one.set == dataset.id]
    write_released_layout(records, tmp_path)
    read = table(tmp_path / "read" / f"{dataset.file_name}.csv")
    assert list(read) == ["goldens", "generated_text"]
    goldens, outputs = GOLDEN_RULES[dataset.file_name], OUTPUT_RULES[dataset.file_name]
    labels: dict[str, set[int | None]] = {}
    rows = zip(records, read["goldens"], read["generated_text"], strict=True)
    for one, golden, generated in rows:
        place = first(goldens, golden.split("Reasoning:")[0])
        assert place is not None
        labels.setdefault(one.reference, set()).add(place)
        found = first(outputs, generated[:70])
        if (dataset.id, one.reference) in UNREADABLE_OUTPUTS:
            assert found is None
        else:
            assert found is not None
    places = [place for found in labels.values() for place in found]
    assert len(places) == len(set(places)) == len(labels)  # each label its own place


def test_our_own_parser_reads_it_back(tmp_path: Path):
    write_released_layout(EVERY_LABEL, tmp_path)
    for dataset in DATASETS.values():
        records = [one for one in EVERY_LABEL if one.set == dataset.id]
        read = table(tmp_path / "read" / f"{dataset.file_name}.csv")
        for one, golden, generated in zip(
            records, read["goldens"], read["generated_text"], strict=True
        ):
            for text in (golden, generated):
                response = parse_response(text, QUESTIONS[one.question])
                assert response.label is not None
                assert (response.label.id, response.explanation) == (one.reference, EXPLANATION)


def test_what_was_not_explained_is_the_answer_alone(tmp_path: Path):
    record_ = record("DR", "depression", "no", explained=None, reference_explanation=None)
    write_released_layout([record_], tmp_path)
    answer = "No, the poster does not suffer from depression."
    assert table(tmp_path / "read" / "DR.csv") == {"goldens": [answer], "generated_text": [answer]}


def test_the_label_is_the_decided_one(tmp_path: Path):
    said = Explained("no", EXPLANATION, "stop", 9, 0.9)
    write_released_layout([record("DR", "depression", "yes", explained=said)], tmp_path)
    read = table(tmp_path / "read" / "DR.csv")
    assert read["goldens"][0].startswith("Yes, the poster suffers from depression. Reasoning: ")
    assert read["generated_text"][0].startswith("No, the poster does not suffer from depression.")


def test_errors_keep_their_row_and_what_was_not_asked_has_none(tmp_path: Path):
    nothing = {"read": None, "explained": None, "free_form": None}
    records = [
        record("DR", "depression", "yes", 1),
        record("DR", "depression", "no", 2, **nothing, error="text_too_long"),
        record("DR", "depression", "no", 3, **nothing),
    ]
    written = write_released_layout(records, tmp_path)
    assert written == {"read": {"DR": 2}, "free_form": {"DR": 1}}
    assert table(tmp_path / "read" / "DR.csv")["generated_text"][1] == " "


NASTY = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            *("", "nan", "None", "NA", "N/A", "null", " ", "\n", '"', '\\"', "\\", "a\\,b", "\0"),
            *("\r\n", "\r", "a,b", "#N/A", "\ufeff", "a\ud800b", "😶‍🌫️", "\x1a", "1", "True"),
        ]
    ),
)


@settings(deadline=None)
@given(texts=st.lists(NASTY, min_size=1, max_size=6))
def test_whatever_was_generated_comes_back_as_text(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("layout")
    # A column of nothing but numbers would be read as numbers; real responses are never that.
    said = [*texts, "Yes, the poster suffers from depression."]
    records = [
        record(
            *("DR", "depression", "yes", number),
            free_form=FreeForm(text, "stop", 1, None, None, "no_label"),
        )
        for number, text in enumerate(said)
    ]
    write_released_layout(records, folder)
    read = table(folder / "free_form" / "DR.csv")["generated_text"]
    for text, came_back in zip(said, read, strict=True):
        encoded = text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass")
        expected = encoded.decode("utf-16", "replace")
        assert came_back == expected or (came_back == f"{expected} " and len(expected) < 10)


def test_a_second_export_leaves_nothing_of_the_first(tmp_path: Path):
    write_released_layout(EVERY_LABEL, tmp_path)
    write_released_layout([record("DR", "depression", "yes", free_form=None)], tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.csv")] == [
        "read/DR.csv"
    ]


def test_a_set_of_another_name_is_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(DataError, match="no file name for: other"):
        write_released_layout([replace(EVERY_LABEL[0], set="other")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_released_layout(EVERY_LABEL[:1], tmp_path / "file")
