"""What a build would do: the rows that are left after reading and cleaning, and what is asked."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.build.cache import CACHE_FILE, open_cache, request_key
from training.build.prompts import request
from training.build.recipe import BuildRecipe
from training.build.sources import FileRows, labelled, read_source
from training.build.teacher import prompt_tokens
from training.build.templates import load_templates
from training.check.recipe import CheckRecipe, load_check_recipe
from training.data.cleaning import Effect, clean, rules_but
from training.data.duplicates import find_contamination, find_near_measured
from training.data.example import Example, Split
from training.data.mending import Mender
from training.data.splits import find_shared

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is there and what is asked.

    Attributes:
        files: as they were read.
        mended: rule of the text to rows that it mended.
        removed: rule to rows that it removed; `shared posts` and `near posts` among them.
        duplicates: ids of rows whose posts are the same or nearly so, for `duplicates.json`.
        rows: what is explained, in the order of sources, files and rows.
        with_label: example id to the request that explains its label.
        freely: example id to the request without the label, for the sample.
        check: the recipe of the check.
    """

    files: tuple[FileRows, ...]
    mended: Mapping[str, int]
    removed: Mapping[str, int]
    duplicates: Mapping[str, Any]
    rows: tuple[Example, ...]
    with_label: Mapping[str, dict[str, Any]]
    freely: Mapping[str, dict[str, Any]]
    check: CheckRecipe

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """All requests."""
        return [*self.with_label.values(), *self.freely.values()]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is still to be asked, before it is.

    Attributes:
        requests: that have no answer yet.
        answered: that an earlier run had answered.
        prompt_tokens: of the former, about (four characters each).
        completion_tokens: at most.
        cost: at most, in the recipe's currency.
        seconds: at least, by the recipe's limits a minute; 0 where it sets none.
    """

    requests: int
    answered: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    seconds: float


def plan(recipe: BuildRecipe) -> Plan:
    """Read the sources and make the requests; nothing is sent.

    Raises:
        RecipeError: a source, a template or the check's recipe cannot be used.
        DataError: a file cannot be read.
    """
    templates = load_templates(recipe.templates)
    checks = load_check_recipe(recipe.check)
    mend = Mender()
    files = tuple(
        file for source in recipe.sources for file in read_source(source, recipe.root, mend)
    )
    rules = [rule for rule in rules_but() if rule.effect is Effect.REMOVED]
    cleaned, findings = clean(labelled(files), rules=rules)
    contamination = find_contamination(cleaned)
    shared = find_shared(cleaned, Split.TRAIN)
    near = find_near_measured(cleaned, contamination)
    removed = {finding.rule.id: len(finding.applied) for finding in findings if finding.applied}
    removed |= {"shared posts": len(shared), "near posts": len(near.keys() - shared.keys())}
    rows = [row for row in cleaned if row.id not in shared and row.id not in near]
    if recipe.limit is not None:
        rows = _limited(rows, recipe.limit, recipe.seed)
    settings = recipe.teacher
    given = {
        row.id: request(row, templates[row.question.id], settings, recipe.seed, with_label=True)
        for row in rows
    }
    freely = {
        row.id: request(row, templates[row.question.id], settings, recipe.seed, with_label=False)
        for row in rows
        if _drawn(row, settings.label_free_share, recipe.seed)
    }
    return Plan(
        files=files,
        mended={rule: len(found) for rule, found in mend.changed.items() if found},
        removed={rule: number for rule, number in removed.items() if number},
        duplicates=contamination.to_json(),
        rows=tuple(rows),
        with_label=given,
        freely=freely,
        check=checks,
    )


def estimate(planned: Plan, recipe: BuildRecipe) -> Estimate:
    """What is still to be asked, and what it would cost at most.

    Raises:
        DataError: the answers of an earlier run cannot be read.
    """
    wanted = {request_key(body): body for body in planned.bodies}
    left = wanted
    path: Path = recipe.output / CACHE_FILE
    if path.is_file():
        with open_cache(path) as cache:
            left = {key: body for key, body in wanted.items() if cache.get(key) is None}
    settings = recipe.teacher
    prompts = sum(map(prompt_tokens, left.values()))
    completions = len(left) * settings.max_tokens
    price = settings.price
    minutes = [0.0]
    if settings.requests_per_minute:
        minutes.append(len(left) / settings.requests_per_minute)
    if settings.tokens_per_minute:
        minutes.append((prompts + completions) / settings.tokens_per_minute)
    return Estimate(
        requests=len(left),
        answered=len(wanted) - len(left),
        prompt_tokens=prompts,
        completion_tokens=completions,
        cost=(prompts * price.prompt + completions * price.completion) / MILLION,
        seconds=max(minutes) * 60,
    )


def _limited(rows: list[Example], limit: int, seed: int) -> list[Example]:
    """So many posts of each file, drawn at random, with all questions on them, in order."""
    posts: dict[str, dict[int, None]] = {}
    for row in rows:
        posts.setdefault(row.source, {})[row.row] = None
    drawn = {
        source: set(random.Random(f"{seed}:{source}").sample(list(own), min(limit, len(own))))
        for source, own in posts.items()
    }
    return [row for row in rows if row.row in drawn[row.source]]


def _drawn(row: Example, share: float, seed: int) -> bool:
    return random.Random(f"{seed}:freely:{row.id}").random() < share
