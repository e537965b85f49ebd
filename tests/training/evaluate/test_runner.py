"""Asking a model: as the service does, a post's questions together, and nothing twice."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from imhi.tasks import QUESTIONS
from imhi.wording import render_query
from service.analysis.manifest import Manifest, assumed_manifest
from service.analysis.types import Explain, Options, Truncation
from service.errors import EngineError
from tests.service.analysis.engines import FakeEngine
from tests.training.evaluate.benchmarks import (
    analyzer,
    example,
    stress_rows,
    tokenizer,
    wellness_rows,
)
from training.data.example import Example
from training.evaluate.answers import Decoding
from training.evaluate.journal import Journal, Way, open_journal
from training.evaluate.records import Explained, FreeForm, Read
from training.evaluate.runner import ask_all, is_complete
from training.evaluate.selection import Selection, select

RESPONSE = " Yes, the poster suffers from stress. Reasoning: it says so."


def all_ways(rows: Sequence[Example]) -> Selection:
    return select(rows, explained=None, free_form=None)


async def asked(
    folder: Path,
    engine: FakeEngine,
    selection: Selection,
    decoding: Decoding | None = None,
    manifest: Manifest | None = None,
    concurrency: int = 4,
) -> tuple[int, list[tuple[Way, int, int]]]:
    said: list[tuple[Way, int, int]] = []
    with open_journal(folder, {}) as journal:
        failed = await ask_all(
            analyzer(engine, manifest),
            selection,
            journal,
            decoding or Decoding(),
            lambda *one: said.append(one),
            concurrency,
        )
    return failed, said


def outcome(folder: Path, row: Example, way: Way) -> object:
    with open_journal(folder, {}) as journal:
        found = journal.get(row.id, way)
    return found and (found.answer or found.error)


async def test_answers_are_what_the_service_says(tmp_path: Path) -> None:
    rows = [*stress_rows()[:2], *wellness_rows((0,))]
    manifest = Manifest.model_validate(
        {
            **assumed_manifest("mentallama", True).model_dump(),
            "calibration": {"stress": {"temperature": 2.0, "bias": {"yes": 1.0}}},
        }
    )
    await asked(tmp_path, FakeEngine(RESPONSE), all_ways(rows), manifest=manifest)
    served = analyzer(FakeEngine(RESPONSE), manifest)
    for row in rows:
        [answer] = (await served.analyze(row.post, [row.question], Options(), "served")).answers
        explanation, decided = answer.explanation, answer.decision.label
        assert explanation is not None
        assert decided is not None
        assert outcome(tmp_path, row, Way.READ) == Read(
            dict(answer.distribution.log_probabilities),
            dict(answer.distribution.probabilities),
            answer.distribution.label_mass,
        )
        assert outcome(tmp_path, row, Way.EXPLAINED) == Explained(
            decided,
            explanation.text,
            explanation.finish_reason,
            explanation.tokens,
            explanation.consistency,
        )
    read = outcome(tmp_path, rows[0], Way.READ)
    assert isinstance(read, Read)
    uncalibrated = {label: math.exp(value) for label, value in read.log_probabilities.items()}
    assert uncalibrated != pytest.approx(read.probabilities)


async def test_a_response_is_written_from_the_query_and_read_without_guessing(
    tmp_path: Path,
) -> None:
    [row, *_] = stress_rows()
    engine = FakeEngine(RESPONSE)
    await asked(tmp_path, engine, all_ways([row]))
    query = tokenizer()(render_query(row.post, row.question), add_special_tokens=False)
    assert list(engine.prompts["stress-response"]) == query["input_ids"]
    assert outcome(tmp_path, row, Way.FREE_FORM) == FreeForm(
        RESPONSE.strip(), "stop", 10, "yes", "it says so.", None
    )
    cut = tmp_path / "cut"
    cut.mkdir()
    await asked(cut, FakeEngine(" Hm, well then"), all_ways([row]), Decoding(response_tokens=2))
    assert outcome(cut, row, Way.FREE_FORM) == FreeForm(
        "Hm, well", "length", 2, None, "Hm, well", "no_label"
    )


async def test_questions_on_one_post_are_asked_together_across_sets(tmp_path: Path) -> None:
    rows = [example(0), *wellness_rows((0,)), example(1)]
    engine = FakeEngine()
    await asked(tmp_path, engine, select(rows))
    assert len({context.request_id for context in engine.contexts}) == 2


async def test_the_same_question_of_two_sets_is_asked_once_and_answered_twice(
    tmp_path: Path,
) -> None:
    rows = [example(0, "depression", "yes", of=name) for name in ("DR", "CLP")]
    engine = FakeEngine()
    await asked(tmp_path, engine, select(rows, explained=None))
    assert len(engine.contexts) == 2  # a read and an explanation
    for way in (Way.READ, Way.EXPLAINED):
        first, second = (outcome(tmp_path, row, way) for row in rows)
        assert first == second is not None


async def test_a_post_that_cannot_be_asked_has_the_services_code(tmp_path: Path) -> None:
    long = replace(example(0), post="the poster " * 300)
    half = replace(example(1), post="so \ud83d tired")
    rows = [long, half, example(2)]
    engine = FakeEngine(RESPONSE, max_model_len=600)
    failed, _ = await asked(tmp_path, engine, all_ways(rows))
    assert failed == 0
    for way in Way:
        assert outcome(tmp_path, long, way) == "text_too_long"
        assert outcome(tmp_path, half, way) == "invalid_request"
        assert not isinstance(outcome(tmp_path, rows[2], way), str)


async def test_a_cut_post_says_how_much_was_cut(tmp_path: Path) -> None:
    long = replace(example(0), post="the poster " * 300)
    engine = FakeEngine(RESPONSE, max_model_len=600)
    decoding = Decoding(truncation=Truncation.HEAD)
    await asked(tmp_path, engine, all_ways([long, example(1)]), decoding)
    with open_journal(tmp_path, {}) as journal:
        cuts = {way: cut_of(journal, long, way) for way in Way}
        assert all(0 < cut < 3300 for cut in cuts.values())
        # More room is left for more tokens.
        assert cuts[Way.READ] < cuts[Way.EXPLAINED] < cuts[Way.FREE_FORM]
        assert cut_of(journal, example(1), Way.READ) == 0


def cut_of(journal: Journal, row: Example, way: Way) -> int:
    found = journal.get(row.id, way)
    assert found is not None
    assert found.error is None
    return found.cut


async def test_an_abstention_is_asked_once_and_has_no_explanation(tmp_path: Path) -> None:
    manifest = Manifest.model_validate(
        {
            **assumed_manifest("mentallama", True).model_dump(),
            "policy": {"min_probability": 1.0},
        }
    )
    selection = select([example(0)], explained=None)
    await asked(tmp_path, FakeEngine(), selection, manifest=manifest)
    with open_journal(tmp_path, {}) as journal:
        found = journal.get(example(0).id, Way.EXPLAINED)
        assert found is not None
        assert (found.answer, found.error) == (None, None)
        assert is_complete(selection, journal)


@pytest.mark.parametrize("concurrency", [1, 3, 32])
async def test_an_engine_that_is_gone_stops_the_run(tmp_path: Path, concurrency: int) -> None:
    rows = [example(0, question, of="DR", row=n) for n, question in enumerate(QUESTIONS, 1)]
    rows = [replace(row, post=f"{row.post} {number}") for number, row in enumerate(rows * 2)]
    engine = FakeEngine(fails=lambda _: True)
    with pytest.raises(EngineError):
        await asked(tmp_path, engine, select(rows), concurrency=concurrency)
    assert engine.running == 0


async def test_no_more_posts_are_in_flight_than_allowed(tmp_path: Path) -> None:
    engine = FakeEngine(delay=0.001)
    most = 0
    read = engine.read

    async def watched(*arguments: object) -> object:
        nonlocal most
        most = max(most, engine.running + 1)
        return await read(*arguments)  # type: ignore[arg-type]

    engine.read = watched  # type: ignore[method-assign, assignment]
    await asked(tmp_path, engine, select(stress_rows()), concurrency=2)
    assert most == 2


async def test_a_cancelled_run_keeps_what_it_has_and_frees_the_engine(tmp_path: Path) -> None:
    explaining = asyncio.Event()

    def watch(suffix: str) -> bool:
        if suffix.endswith("explanation"):
            explaining.set()
        return False

    engine = FakeEngine(delay=0.02, fails=watch)
    rows = stress_rows()
    task = asyncio.create_task(asked(tmp_path, engine, all_ways(rows), concurrency=1))
    await explaining.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.running == 0
    assert all(isinstance(outcome(tmp_path, row, Way.READ), Read) for row in rows)
    assert outcome(tmp_path, rows[-1], Way.EXPLAINED) is None


def test_the_defaults_are_the_services() -> None:
    assert Decoding().options(Explain.ALWAYS) == Options()
