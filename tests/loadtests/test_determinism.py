"""The flip rate: what is read, in what company, and what is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from imhi.tasks import QUESTIONS
from loadtests.determinism import Case, cases, compare, read_alone, read_crowded, table, wilson
from loadtests.workload import POSTS
from service.analysis.engine import RequestContext, TokenRead
from tests.loadtests.engines import FakeClient, fake_engine
from tests.service.analysis.engines import FakeEngine


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [  # from Newcombe (1998), table I, to four digits
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=5e-5)
    # No share is special: the interval of the misses is the mirror image.
    assert wilson(trials - hits, trials) == pytest.approx((1 - high, 1 - low), abs=5e-5)


ALONE = {
    Case(0, "stress"): {"yes": 0.501, "no": 0.499},
    Case(0, "depression"): {"yes": 0.2, "no": 0.8},
    Case(1, "stress"): {"yes": 0.9, "no": 0.1},
    Case(1, "depression_cause"): {"none": 0.2, "medication": 0.5, "x": 0.3},
}
CROWDED = {
    Case(1, "stress"): {"yes": 0.9, "no": 0.1},
    Case(0, "stress"): {"yes": 0.499, "no": 0.501},
    Case(0, "depression"): {"yes": 0.201, "no": 0.799},
    Case(1, "depression_cause"): {"none": 0.2, "medication": 0.495, "x": 0.305},
}


def test_flips_and_differences_are_found() -> None:
    found = compare(ALONE, CROWDED)
    assert found["reads"] == 4
    (flip,) = found["flips"]
    assert flip.pop("margin") == pytest.approx(0.002)
    assert flip == {"post": 0, "question": "stress", "alone": "yes", "crowded": "no"}
    assert found["flip_rate"] == 0.25
    assert found["flip_rate_interval_95"] == wilson(1, 4)
    assert found["largest_difference"] == pytest.approx(0.005)
    assert found["mean_difference"] == pytest.approx((0.002 + 0.001 + 0.0 + 0.005) / 4)
    assert found["smallest_margin"] == pytest.approx(0.002)


def test_only_the_same_cases_can_be_compared() -> None:
    for alone, crowded in (({}, {}), (ALONE, {}), (ALONE, dict(list(CROWDED.items())[:3]))):
        with pytest.raises(ValueError, match="same cases"):
            compare(alone, crowded)


class CrowdedEngine(FakeEngine):
    """Keeps the company of every read; what it reads depends on it where told."""

    def __init__(self, *, sways: bool = False) -> None:
        super().__init__()
        self.sways = sways
        self.company: dict[str, list[int]] = {}
        self.explained: set[str] = set()

    async def read(
        self, prompt: Sequence[int], token_ids: Sequence[int], context: RequestContext, suffix: str
    ) -> TokenRead:
        self.explained.update([suffix] if "-consistency" in suffix else [])
        self.running += 1
        await asyncio.sleep(0.001)
        self.company.setdefault(context.request_id, []).append(self.running)
        alone = self.running == 1
        self.running -= 1
        order = token_ids if alone or not self.sways else token_ids[::-1]
        return TokenRead(tuple(self.logprob(prompt, token) for token in order), len(prompt), 0)


async def test_reads_alone_have_no_company_and_an_empty_cache_for_each_post() -> None:
    engine, client = CrowdedEngine(), FakeClient()
    found = await read_alone(fake_engine(engine, client), POSTS[:3])
    assert list(found) == cases(3)
    assert client.emptied == 3
    assert len(engine.company) == 3 * len(QUESTIONS)
    # A question with several branches reads them at once, and nothing else.
    assert all(max(company) <= len(company) for company in engine.company.values())


async def test_crowded_reads_run_among_explanations_of_others() -> None:
    engine, client = CrowdedEngine(), FakeClient()
    local = fake_engine(engine, client)
    found = await read_crowded(local, POSTS[:4], concurrency=16)
    assert client.emptied == 1
    assert found.keys() == set(cases(4))
    assert list(found) != cases(4)
    assert engine.explained
    assert max(map(max, engine.company.values())) >= 12
    assert engine.running == 0
    comparison = compare(await read_alone(local, POSTS[:4]), found)
    assert comparison["flips"] == []
    assert comparison["largest_difference"] == 0.0


async def test_an_engine_that_minds_its_company_flips_labels() -> None:
    local = fake_engine(CrowdedEngine(sways=True))
    comparison = compare(
        await read_alone(local, POSTS[:2]), await read_crowded(local, POSTS[:2], concurrency=8)
    )
    assert comparison["flips"]
    assert comparison["largest_difference"] > 0


def test_the_table_names_the_flips_margins() -> None:
    facts = {"machine": {"model": "tested", "dtype": "bfloat16"}, "concurrency": 64}
    shown = table({**compare(ALONE, CROWDED), **facts})
    assert shown.title.endswith("among 64 requests, tested in bfloat16")
    assert ("margins of the flips", "0.0020 (stress)") in shown.rows
    assert ("flips", "1 of 4 reads") in shown.rows
