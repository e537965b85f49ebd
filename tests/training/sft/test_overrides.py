"""`field=value`: what it changes, where values are from, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.errors import RecipeError
from training.sft.overrides import resolve
from training.sft.recipe_fields import FIELDS
from training.sft.recipe_file import read_recipe


def refused(*overrides: str) -> str:
    with pytest.raises(RecipeError) as raised:
        resolve("embedded-135m", overrides)
    return raised.value.message


def test_values_are_yaml_of_the_fields_type() -> None:
    recipe = resolve(
        "embedded-135m",
        [
            "optimisation.learning_rate=1e-3",
            "data.sets=[DR, SAD]",
            "data.path=some/folder",
            "precision.compile=true",
            "optimisation.max_steps=null",
            "balance.set_weights={DR: 2}",
            "seed=11",
        ],
    ).recipe
    assert recipe.optimisation.learning_rate == 1e-3
    assert recipe.data.sets == ("DR", "SAD")
    assert recipe.data.path == Path("some/folder")
    assert recipe.precision.compile is True
    assert recipe.optimisation.max_steps is None
    assert recipe.balance.set_weights == {"DR": 2.0}
    assert recipe.seed == 11


def test_nothing_else_changes() -> None:
    changed = resolve("embedded-135m", ["seed=11"]).recipe
    assert changed == read_recipe("embedded-135m").model_copy(update={"seed": 11})


def test_one_entry_of_a_mapping_can_be_set() -> None:
    recipe = resolve("embedded-135m", ["balance.set_weights.T-SID=0.5"]).recipe
    assert recipe.balance.set_weights == {"T-SID": 0.5}


def test_a_value_may_hold_an_equals_sign() -> None:
    assert resolve("embedded-135m", ["output=runs/a=b"]).recipe.output == Path("runs/a=b")


def test_sources_tell_default_recipe_and_override_apart(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nmodel: {base: embedded}\noutput: out\nseed: 5\n")
    resolved = resolve(str(path), ["output=elsewhere"])
    assert set(resolved.sources) == set(FIELDS)
    assert resolved.sources["seed"] == "recipe"
    assert resolved.sources["model.base"] == "recipe"
    assert resolved.sources["output"] == "override"
    assert resolved.sources["layout"] == "default"


@pytest.mark.parametrize("text", ["seed", "=3", "", "seed:3"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    assert "write field=value" in refused(text)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("learning_rate=1", "Did you mean `optimisation.learning_rate`?"),
        ("optimisation.learning-rate=1", "Did you mean `optimisation.learning_rate`?"),
        ("optimization.learning_rate=1", "Did you mean `optimisation.learning_rate`?"),
        ("zzz=1", "docs/recipes.md lists the fields"),
        ("optimisation=1", "is a section"),
        ("model.base.x=1", "There is no field `model.base.x`"),
        ("balance.set_weights.XX=2", "there is no set 'XX'"),
        ("seed=[", "cannot be read as YAML"),
        ("seed=-1", "not -1 (given on the command line)"),
        ("precision.compile=yes", '`precision.compile` takes true or false, not "yes"'),
    ],
)
def test_a_wrong_override_is_refused_with_what_to_write(override: str, said: str) -> None:
    assert said in refused(override)


def test_an_adapters_field_without_an_adapter_is_refused() -> None:
    said = refused("method.rank=4", "method.alpha=8")
    assert "`method.alpha`, `method.rank`" in said
    assert "method.kind=lora" in said
    assert resolve("embedded-135m", ["method.rank=4", "method.kind=lora"]).recipe.method.rank == 4


def test_layers_cannot_be_frozen_beside_an_adapter() -> None:
    said = refused("method.kind=lora", "method.frozen_layers=3")
    assert "`method.frozen_layers`" in said
    assert "method.kind=full" in said
