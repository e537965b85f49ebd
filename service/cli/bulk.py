"""`mentalllama analyze FILE… --output RESULT`: who answers, and what is said about it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import typer

from imhi.tasks import QUESTIONS, Question
from service.bulk.answering import Answer, in_process, over_http
from service.bulk.pipeline import analyse
from service.bulk.run import Job, Prepared, model_facts, policy_facts, run
from service.bulk.summary import Session, Summary, page_path
from service.bulk.survey import Survey
from service.cli.exit_codes import ExitCode
from service.cli.in_process import checked
from service.cli.progress import Shown, counted
from service.cli.terminal import notice
from service.client import KEY_VARIABLE, AsyncService
from service.errors import InvalidRequestError
from service.settings import load_settings

_PROBE = "The bus was on time today."
_PATIENCE_SECONDS = 600.0
_HERE, _THERE = 64, 16  # texts at a time


@dataclass(frozen=True, slots=True)
class Where:
    """Who answers.

    Attributes:
        model: a model to load, or the name of one that the service serves.
        url: a running service, or None.
        timeout: seconds to wait for an answer of the service.
        concurrency: texts at a time; None for what suits.
        ray: whether Ray's actors load the model.
        ray_address: of a running cluster; None starts one here.
        engines: how many actors; None lets Ray's resources decide.
    """

    model: str
    url: str | None
    timeout: float
    concurrency: int | None
    ray: bool
    ray_address: str | None
    engines: int | None


def analyse_files(job: Job, where: Where) -> None:
    """Do a job and say what it came to.

    Raises:
        ServiceError: as `service.bulk.run.run`.
        typer.Exit: it was interrupted, or some rows have no answers.
    """
    if find_spec("pyarrow") is None:
        raise InvalidRequestError("Files need pyarrow: pip install 'mentalllama[bulk]'.")
    checked({**(job.request or {}), "text": _PROBE})  # before anything is read or loaded
    shown: list[Shown] = []
    try:
        summary = asyncio.run(run(job, _said, lambda prepared: _analysed(prepared, where, shown)))
    except KeyboardInterrupt:
        kept = f"{shown[0].tally.rows:,} rows are kept. " if shown else ""
        notice(f"Interrupted. {kept}The same command goes on from there.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    failed = sum(summary.tally.failed.values())
    notice(f"{job.result}: {summary.tally.rows:,} rows. {counted(summary.tally)}")
    notice(f"Summary: {page_path(job.result)}")
    if failed:
        codes = ", ".join(f"{count:,} {code}" for code, count in summary.tally.failed.items())
        notice(f"{failed:,} rows have no answers ({codes}); see the column `error`.")
        raise typer.Exit(ExitCode.ROWS_FAILED)


def _said(found: Survey) -> None:
    files = len(found.sources)
    notice(f"{found.rows:,} rows in {files:,} file{'s' if files > 1 else ''}.")


async def _analysed(prepared: Prepared, where: Where, shown: list[Shown]) -> Summary:
    job = prepared.job
    request = dict(job.request or {})
    if where.ray:
        from service.bulk.on_ray import analyse_on_ray

        spread, questions, facts = await asyncio.to_thread(
            analyse_on_ray, where.model, request, where.ray_address, where.engines
        )
        name = where.model

        async def work(told: Shown) -> None:
            await asyncio.to_thread(spread, prepared, questions, told)

        return await _through(prepared, questions, facts, name, work, shown)
    async with AsyncExitStack() as stack:
        answer: Answer
        if where.url:
            service = AsyncService(
                where.url, where.timeout, os.environ.get(KEY_VARIABLE), where.concurrency or _THERE
            )
            waits = _Waits()
            answer = await stack.enter_async_context(
                over_http(service, request, waits, _PATIENCE_SECONDS)
            )
            questions, name = await _probed(service, request)
            facts = {"url": where.url, "name": name}
        else:
            facts = model_facts(where.model) | policy_facts()
            body = checked({**request, "text": _PROBE})
            answer, questions = await stack.enter_async_context(
                in_process(where.model, body, notice)
            )
            name = where.model
        concurrency = where.concurrency or (_THERE if where.url else _HERE)

        async def one_by_one(told: Shown) -> None:
            await analyse(
                prepared.survey.all_rows(),
                prepared.survey.rows,
                answer,
                prepared.parts,
                prepared.records(questions),
                told,
                concurrency,
            )

        return await _through(prepared, questions, facts, name, one_by_one, shown)


async def _through(
    prepared: Prepared,
    questions: tuple[Question, ...],
    facts: Mapping[str, Any],
    name: str,
    work: Callable[[Shown], Any],
    shown: list[Shown],
) -> Summary:
    before = prepared.begin(facts, questions)
    if before.rows:
        notice(f"Going on: {before.rows:,} rows are done already.")
    told = Shown(prepared.survey.rows, before)
    shown.append(told)
    try:
        with told.shown():
            await work(told)
    finally:
        if told.rows:
            prepared.interrupted(Session(rows=told.rows, seconds=told.seconds))
    return prepared.finish(prepared.records(questions), name, load_settings().notice)


async def _probed(
    service: AsyncService, request: Mapping[str, Any]
) -> tuple[tuple[Question, ...], str]:
    """What the service asks for such a request, and the name of the model that answers."""
    response = await service.analyze({**request, "explain": "never", "text": _PROBE})
    asked = [answer["question"] for answer in response["results"][0]["answers"]]
    known = [QUESTIONS[name] for name in asked if name in QUESTIONS]
    if len(known) < len(asked):
        raise InvalidRequestError(
            "The service asks questions that this version does not know: install the same version."
        )
    return tuple(known), str(response["model"])


class _Waits:
    """Says that the service asks to be left alone for a while, once a minute at most."""

    def __init__(self) -> None:
        self._said = float("-inf")

    def __call__(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._said >= 60:
            self._said = now
            notice(f"The service is busy or not there; asking again in {seconds:.0f} s.")
