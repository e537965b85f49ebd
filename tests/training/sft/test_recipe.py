"""Recipes: those that ship, what is refused, what a dump and a difference are."""

from __future__ import annotations

import re

import pytest
import yaml

from training.errors import RecipeError
from training.sft.recipe import difference, dump
from training.sft.recipe_fields import FIELDS, recipe_of
from training.sft.recipe_file import SHIPPED, parse, read_recipe, scalar, shipped

LEAST = {"name": "least", "model": {"base": "embedded"}, "output": "out"}


def refused(values: dict[str, object]) -> str:
    with pytest.raises(RecipeError) as raised:
        recipe_of(LEAST | values)
    return raised.value.message


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_recipe_is_one_named_as_its_file(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert recipe.data.path is None  # a person's own
    assert recipe.output.name == name
    assert recipe.description
    assert recipe.source
    assert (SHIPPED / f"{name}.yaml").read_text().startswith("#")


@pytest.mark.parametrize("name", [one for one in shipped() if one.startswith("mentalllama-")])
def test_the_papers_recipes_mark_what_is_not_known(name: str) -> None:
    recipe = read_recipe(name)
    assert {"optimisation.learning_rate", "optimisation.epochs"} <= set(recipe.unknown)
    assert not {"model.base", "method.kind", "model.prompt_style"} & set(recipe.unknown)


@pytest.mark.parametrize("name", ["mentalllama-7b", "mentalllama-chat-7b", "mentalllama-chat-13b"])
def test_four_processes_see_256_rows_a_step(name: str) -> None:
    how = read_recipe(name).optimisation
    assert 4 * how.batch_sequences * how.gradient_accumulation == 256


@pytest.mark.parametrize("name", shipped())
def test_a_dump_reads_back_as_the_same_recipe(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe_of(parse(dump(recipe), "dump").values) == recipe


def test_a_dump_writes_every_field() -> None:
    written = yaml.safe_load(dump(recipe_of(LEAST)))
    for name in FIELDS:
        section, _, field = name.rpartition(".")
        assert field in (written[section] if section else written)


def test_a_difference_names_the_fields() -> None:
    left = recipe_of(LEAST)
    right = recipe_of(LEAST | {"optimisation": {"learning_rate": 1e-3}, "seed": 7})
    assert difference(left, right) == ["optimisation.learning_rate", "seed"]
    assert difference(left, recipe_of(LEAST)) == []


def test_an_unknown_field_is_named_with_the_one_that_was_meant() -> None:
    said = refused({"optimisation": {"learning_rte": 1e-4}})
    assert "There is no field `optimisation.learning_rte`" in said
    assert "Did you mean `optimisation.learning_rate`?" in said


def test_a_field_in_the_wrong_section_is_found() -> None:
    assert "Did you mean `optimisation.epochs`?" in refused({"model": {"base": "x", "epochs": 2}})


def test_a_name_like_no_other_gets_the_sections_fields() -> None:
    said = refused({"optimisation": {"lr": 1e-4}})
    assert "The fields of `optimisation` are `epochs`" in said


def test_a_missing_field_is_named() -> None:
    with pytest.raises(RecipeError, match=r"`model\.base` is missing.*`output` is missing"):
        recipe_of({"name": "x", "model": {}})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"layout": "stacked"},
            '`layout` takes one of `padded`, `packed`, `shared`, not "stacked"',
        ),
        (
            {"optimisation": {"learning_rate": -1}},
            "`optimisation.learning_rate` takes a number above 0 and below 1, not -1",
        ),
        (
            {"optimisation": {"epochs": "3"}},
            '`optimisation.epochs` takes a number above 0, not "3"',
        ),
        (
            {"loss": {"answer_weight": 2}},
            "`loss.answer_weight` takes a number above 0 and at most 1, or null, not 2",
        ),
        ({"data": {"sets": ["DR", "foo"]}}, "`data.sets`: there is no set 'foo'; the sets are DR"),
        ({"data": {"sets": []}}, "an empty `data.sets`"),
        (
            {"method": {"targets": 3}},
            "`method.targets` takes a list, each a text, or `all-linear`, not 3",
        ),
        ({"optimisation": {"warmup": 1.5}}, "`warmup` must be a share below 1 or a whole number"),
        ({"seed": -1}, "`seed` takes a whole number at least 0"),
        ({"unknown": ["optimisation.rate"]}, "`unknown` names a field that does not exist"),
    ],
)
def test_a_wrong_value_is_named_with_what_the_field_takes(
    values: dict[str, object], said: str
) -> None:
    assert said in refused(values)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        (
            {"layout": "shared", "model": {"base": "x", "attention": "flash_attention_2"}},
            "model.attention",
        ),
        ({"loss": {"full_text": True, "answer_weight": 0.5}}, "loss.answer_weight"),
        ({"loss": {"full_text": True}, "layout": "shared"}, "set `layout` to padded or packed"),
        ({"evaluation": {"patience": 3}}, "evaluation.every"),
        (
            {"evaluation": {"every": 30}, "checkpoints": {"every": 100}},
            "a multiple of `evaluation.every`, which is 30",
        ),
        (
            {"optimisation": {"average_last": 5}, "checkpoints": {"keep": 2}},
            "raise `checkpoints.keep`",
        ),
        ({"optimisation": {"average_last": 2}, "checkpoints": {"every": 0}}, "checkpoints.every"),
        (
            {"method": {"kind": "qlora"}, "precision": {"weights": "float32"}},
            "precision.weights: bfloat16",
        ),
    ],
)
def test_fields_at_odds_are_refused_with_what_to_set(values: dict[str, object], field: str) -> None:
    assert field in refused(values)


def test_all_wrong_fields_are_named_at_once() -> None:
    said = refused({"layout": "x", "seed": "y", "trackers": ["z"]})
    assert all(f"`{name}` takes" in said for name in ("layout", "seed", "trackers"))


def test_a_wrong_value_is_found_in_its_file(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nmodel:\n  base: embedded\n  attention: fast\noutput: out\n")
    with pytest.raises(RecipeError, match=rf"^{re.escape(str(path))} .*\(line 4\)"):
        read_recipe(str(path))


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match="line 3: the key 'seed' stands here for the second time"):
        parse("seed: 1\nname: x\nseed: 2\n", "mine.yaml")
    with pytest.raises(RecipeError, match="line 3: the key 'base'"):
        parse("model:\n  base: a\n  base: b\n", "mine.yaml")


@pytest.mark.parametrize("text", ["[1, 2]", "words", "a: [", "? [a]\n: b", "\t- x: y"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^mine\.yaml "):
        parse(text, "mine.yaml")


def test_tags_that_make_objects_are_refused() -> None:
    with pytest.raises(RecipeError):
        parse("name: !!python/object/apply:os.getcwd []", "mine.yaml")


def test_a_name_that_does_not_ship_gets_suggestions() -> None:
    with pytest.raises(RecipeError, match=r"Did you mean embedded-135m\? Name a YAML file, or one"):
        read_recipe("embedded-135")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("2.5E+3", 2500.0),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("no", "no"),
        ("off", "off"),
        ("True", True),
        ("~", None),
        ("", None),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ("[a, 1]", ["a", 1]),
    ],
)
def test_scalars_are_read_by_the_core_schema(text: str, value: object) -> None:
    found = scalar(text)
    assert found == value
    assert type(found) is type(value)
