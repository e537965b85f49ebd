"""From prepared data to a run's rows: which are taken, how they weigh, what is said of them."""

from __future__ import annotations

import pytest

from imhi.tasks import QUESTIONS
from tests.training.sft.recipes import examples, prepared
from tests.training.sft.tiny import EXPLANATION, example, recipe, tokenizer
from training.data.example import Example, Split
from training.data.prepared import Prepared, load_prepared
from training.errors import DataError
from training.sft.collate import COLUMNS
from training.sft.dataset import TrainingRows, chosen_examples, sample, training_rows


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return load_prepared(prepared(tmp_path_factory.mktemp("data") / "prepared"))


def rows_of(data: Prepared, *overrides: str) -> TrainingRows:
    return training_rows(recipe("output=out", *overrides), data, tokenizer())


def test_validation_rows_are_not_trained_on(data) -> None:
    rows = rows_of(data)
    assert {one.id for one in rows.examples} == {
        one.id for one in examples() if one.split is Split.TRAIN
    }
    assert sum(rows.report.examples.values()) == len(rows.rows) == 12


@pytest.mark.parametrize(
    ("override", "sets"),
    [
        ("data.sets=[DR, MultiWD]", {"DR", "MultiWD"}),
        ("data.origins=[reference]", {"DR", "dreaddit"}),
        ("data.origins=[annotation]", {"MultiWD"}),
        ("data.origins=null", {"DR", "dreaddit", "MultiWD"}),
    ],
)
def test_sets_and_origins_are_chosen(data, override, sets) -> None:
    assert {one.set for one in rows_of(data, override).examples} == sets


def test_a_choice_that_leaves_nothing_is_refused(data) -> None:
    with pytest.raises(DataError, match=r"`data.sets`"):
        rows_of(data, "data.sets=[SAD]")


def test_rows_none_of_which_fits_are_refused(tmp_path) -> None:
    row = example(QUESTIONS["stress"], explanation=f"{EXPLANATION} " * 40)
    data = load_prepared(prepared(tmp_path / "data", [row]))
    with pytest.raises(DataError, match=r"raise data.max_tokens"):
        rows_of(data, "data.max_tokens=128")


def test_rows_that_do_not_fit_are_not_among_the_examples(tmp_path) -> None:
    long = example(QUESTIONS["stress"], explanation=f"{EXPLANATION} " * 40)
    fits = example(QUESTIONS["stress"], row=2, post="Fine.")
    data = load_prepared(prepared(tmp_path / "data", [long, fits]))
    rows = rows_of(data, "data.max_tokens=128")
    assert rows.examples == (fits,)
    assert rows.report.left_out == [long.id]


def test_explanations_can_be_left_out(data) -> None:
    assert sum(rows_of(data).report.explained.values()) == 4
    assert sum(rows_of(data, "data.explanations=false").report.explained.values()) == 0
    assert sum(rows_of(data, "balance.explanation_share=0").report.explained.values()) == 0


def test_the_loss_and_the_balance_are_the_recipe_s(data) -> None:
    only = ["data.sets=[DR, dreaddit]", "data.explanations=false"]
    (weight,) = {max(row.weights) for row in rows_of(data, *only, "loss.answer_weight=0.25").rows}
    assert weight == 0.25
    weights = rows_of(data, *only, "balance.set_weights={DR: 3}").rows
    assert sorted({row.examples for row in weights}) == pytest.approx([0.5, 1.5])
    plain = ["loss.full_text=true", "loss.answer_weight=null", "loss.normalise=token"]
    assert {row.weights[1] for row in rows_of(data, *only, *plain).rows} == {1.0}
    assert {row.weights[1] for row in rows_of(data, *only).rows} == {0.0}
    branch = rows_of(data, *only, "loss.answer_span=branch").report.supervised
    assert branch < rows_of(data, *only).report.supervised


@pytest.mark.parametrize(("layout", "rows"), [("padded", 12), ("shared", 4), ("packed", 3)])
def test_the_layout_is_the_recipe_s(data, layout, rows) -> None:
    assert len(rows_of(data, f"layout={layout}", "data.max_tokens=320").rows) == rows


def test_a_data_set_holds_the_collator_s_columns(data) -> None:
    rows = rows_of(data)
    table = rows.to_dataset()
    assert set(table.column_names) == {*COLUMNS, "length"}
    assert table["length"][:] == [row.length for row in rows.rows]
    assert tuple(table[3]["input_ids"]) == rows.rows[3].input_ids
    assert tuple(table[3]["weights"]) == rows.rows[3].weights
    assert not table.cache_files


def many(name: str, question: str) -> list[Example]:
    """Two rows on each of 20 posts."""
    return [
        example(QUESTIONS[question], set=name, row=row, post=f"Post {row // 2} of {name}.")
        for row in range(40)
    ]


def test_a_sample_holds_whole_posts_and_depends_on_its_set_alone() -> None:
    stress, depression = many("dreaddit", "stress"), many("DR", "depression")
    kept = sample([*stress, *depression], 10, seed=1)
    assert [one.set for one in kept] == ["dreaddit"] * 10 + ["DR"] * 10
    assert len({one.post for one in kept}) == 10
    assert sample(stress, 10, seed=1) == kept[:10]
    assert sample(stress, 10, seed=2) != kept[:10]
    assert sample(stress, 100, seed=1) == stress
    assert len(sample(stress, 5, seed=1)) == 5


def test_the_limit_of_rows_is_drawn_with_the_seed() -> None:
    rows = many("dreaddit", "stress")
    limited = recipe("output=out", "data.row_limit=6", "seed=4")
    assert chosen_examples(limited, rows) == sample(rows, 6, seed=4)
    assert chosen_examples(recipe("output=out"), rows) == rows
