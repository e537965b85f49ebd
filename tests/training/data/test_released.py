from pathlib import Path

import pytest

from imhi.tasks import DATASETS, QUESTIONS
from imhi.wording import render_completion_query
from tests.training.data.folders import (
    COMPLETION,
    INSTRUCTION,
    LONELINESS,
    SAD,
    STRESS,
    completion,
    instruction,
    post,
    train_file,
    write_csv,
)
from training.data.example import Origin, Split
from training.data.mending import Mender
from training.data.released import parse_completion_query, read_released, released_root
from training.errors import DataError

SECRET = "a sentence that must never be in a message"


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.id)
def test_completion_queries_are_read_back(question) -> None:
    text = "Quiet day. Question: should I call? I said 'yes'."
    assert parse_completion_query(render_completion_query(text, question)) == (text, question)


@pytest.mark.parametrize("query", ["", f"Post: {SECRET}", f"Post: {SECRET}  Question: what? "])
def test_other_texts_are_no_completion_queries(query: str) -> None:
    with pytest.raises(ValueError, match="not a completion query") as caught:
        parse_completion_query(query)
    assert SECRET not in str(caught.value)


def test_rows_become_examples(tmp_path: Path) -> None:
    write_csv(
        train_file(tmp_path, "SAD/train.csv"),
        INSTRUCTION,
        [instruction(post(1), SAD, "work"), instruction(post(2), SAD, "other", "Why not.")],
    )
    first, second = read_released(tmp_path).examples
    assert (first.post, first.label.id, first.explanation) == (post(1), "work", "The post says so.")
    assert (second.set, second.split, second.row) == ("SAD", Split.TRAIN, 2)
    assert second.id == "train_data/instruction_data/SAD/train.csv:2:stress_cause"
    assert second.origin is Origin.REFERENCE
    assert second.annotation is None
    assert second.explanation == "Why not."


@pytest.mark.parametrize("given", [".", "imhi", "imhi/train_data"])
def test_the_folder_may_be_any_of_three(tmp_path: Path, given: str) -> None:
    write_csv(
        train_file(tmp_path / "imhi", "DR/val.csv"),
        INSTRUCTION,
        [instruction(post(1), QUESTIONS["depression"], "no")],
    )
    (example,) = read_released(tmp_path / given).examples
    assert example.source == "train_data/instruction_data/DR/val.csv"
    assert released_root(tmp_path / given).resolve() == (tmp_path / "imhi").resolve()


@pytest.mark.parametrize(
    ("name", "set_id", "split"),
    [
        ("train_data/instruction_data/T-SID/train.csv", "T-SID", Split.TRAIN),
        ("train_data/instruction_data/irf/VAL.csv", "IRF", Split.VAL),
        ("train_data/complete_data/DR/reddit_valid.csv", "DR", Split.VAL),
        ("train_data/complete_data/dreaddit/dreaddit-train.csv", "dreaddit", Split.TRAIN),
        ("test_data/test_instruction/t-sid.csv", "T-SID", Split.TEST),
        ("test_data/test_complete/MultiWD.csv", "MultiWD", Split.TEST),
        ("test_data/test_instruction/SAD/test.csv", "SAD", Split.TEST),
    ],
)
def test_names_of_files(tmp_path: Path, name: str, set_id: str, split: Split) -> None:
    question = DATASETS[set_id].questions[0]
    label = question.labels[0].id
    if "complete" in name:
        query, asked, answer = completion(post(1), question, label)
        header, row = INSTRUCTION, (f"{query} {asked}", answer)  # the test files' two columns
        if "train_data" in name:
            header, row = COMPLETION, (query, asked, answer)
    else:
        header, row = INSTRUCTION, instruction(post(1), question, label)
    write_csv(tmp_path / name, header, [row])
    (example,) = read_released(tmp_path).examples
    assert (example.set, example.split, example.post) == (set_id, split, post(1))
    assert example.label.id == label


@pytest.mark.parametrize(
    "name",
    [
        "train_data/instruction_data/SAD/test.csv",
        "train_data/instruction_data/SAD.csv",
        "train_data/instruction_data/SAD/notes.csv",
        "train_data/instruction_data/other/train.csv",
        "train_data/instruction_data/SAD/old/train.csv",
        "test_data/test_instruction/SAD/train.csv",
        "test_data/expert_examples/SAD.csv",
    ],
)
def test_other_files_are_left_alone(tmp_path: Path, name: str) -> None:
    write_csv(tmp_path / name, INSTRUCTION, [instruction(post(1), SAD, "work")])
    with pytest.raises(DataError, match="holds no file of the sets"):
        read_released(tmp_path)


def test_instruction_rows_win_and_completion_rows_are_added(tmp_path: Path) -> None:
    long = post(1) * 4
    cut = long[: len(long) // 2]
    write_csv(
        train_file(tmp_path, "dreaddit/val.csv"),
        INSTRUCTION,
        [instruction(cut, STRESS, "yes"), instruction(post(2), STRESS, "no")],
    )
    source = "train_data/complete_data/dreaddit/val.csv"
    write_csv(
        tmp_path / source,
        ("", *COMPLETION),  # with pandas's unnamed index, as some were published
        [
            ("0", *completion(long, STRESS, "yes")),
            ("1", *completion(post(2).replace(" ", "  "), STRESS, "no")),
            ("2", *completion(post(3), STRESS, "no", "Only here.")),
        ],
    )
    released = read_released(tmp_path)
    assert [e.post for e in released.examples] == [cut, post(2), post(3)]
    assert released.examples[2].explanation == "Only here."
    assert released.again == {source: 2}
    assert released.cut == {source: 1}


def test_unread_rows_are_named_without_their_text(tmp_path: Path) -> None:
    query, answer = instruction(post(1), STRESS, "yes")
    write_csv(
        train_file(tmp_path, "dreaddit/train.csv"),
        INSTRUCTION,
        [
            (SECRET, answer),
            (query, f"Reasoning: {SECRET}"),
            instruction(SECRET, LONELINESS, "yes"),
            (query, answer),
            (query, f"Yes and no: {SECRET} No, the poster does not suffer from stress."),
        ],
    )
    released = read_released(tmp_path)
    assert [example.row for example in released.examples] == [4]
    assert [row.row for row in released.unread] == [1, 2, 3, 5]
    reasons = [row.reason for row in released.unread]
    assert "not a query" in reasons[0]
    assert "no_label" in reasons[1]
    assert "not one of this set's" in reasons[2]
    assert "several_labels" in reasons[3]
    assert SECRET not in " ".join(reasons)


def test_a_label_without_explanation_is_label_only(tmp_path: Path) -> None:
    query, _ = instruction(post(1), STRESS, "yes")
    write_csv(
        train_file(tmp_path, "dreaddit/train.csv"), INSTRUCTION, [(query, STRESS.labels[0].answer)]
    )
    (example,) = read_released(tmp_path).examples
    assert example.explanation is None


def test_missing_files_are_named(tmp_path: Path) -> None:
    write_csv(
        train_file(tmp_path, "DR/train.csv"),
        INSTRUCTION,
        [instruction(post(1), QUESTIONS["depression"], "yes")],
    )
    released = read_released(tmp_path)
    assert len(released.missing) == 29
    assert ("DR", Split.TRAIN) not in released.missing
    assert ("DR", Split.VAL) in released.missing
    assert read_released(tmp_path, ["DR"]).missing == (("DR", Split.VAL), ("DR", Split.TEST))


def test_text_is_mended_after_the_wording_is_read(tmp_path: Path) -> None:
    # Unescaped before, the post's own quotation mark would close it.
    text = "he said &quot;well&quot; Question: none"
    write_csv(
        train_file(tmp_path, "dreaddit/train.csv"),
        INSTRUCTION,
        [instruction(text, STRESS, "no", "No &amp; no.")],
    )
    (example,) = read_released(tmp_path, mend=Mender()).examples
    assert example.post == 'he said "well" Question: none'
    assert example.explanation == "No & no."
    assert example.question is STRESS


def test_folders_that_are_no_data_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        read_released(tmp_path / "nowhere")
    with pytest.raises(DataError, match="neither train_data nor test_data"):
        read_released(tmp_path)
    (tmp_path / "train_data").mkdir()
    with pytest.raises(DataError, match="no file of the sets asked for"):
        read_released(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,label\na,b\n", "has neither the columns"),
        (b"query,gpt-3.5-turbo\n\xff\xfe,x\n", "not UTF-8"),
        (b"", "is empty"),
        (b'query,gpt-3.5-turbo\n"open', "not a well-formed CSV"),
    ],
)
def test_files_of_another_form(tmp_path: Path, content: bytes, message: str) -> None:
    path = train_file(tmp_path, "DR/train.csv")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_released(tmp_path)


def test_two_files_for_one_place(tmp_path: Path) -> None:
    for name in ("DR/train.csv", "DR/reddit_train.csv"):
        row = instruction(post(1), QUESTIONS["depression"], "yes")
        write_csv(train_file(tmp_path, name), INSTRUCTION, [row])
    with pytest.raises(DataError, match="keep one"):
        read_released(tmp_path)
