"""`mentalllama analyze FILE… --output RESULT`: who answers, and what is said about it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import typer

from imhi.tasks import QUESTIONS, Question
from service.bulk.answering import PROBE, Answer, in_process, over_http, planned
from service.bulk.on_ray import Cluster, spread
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
        cluster: whose actors load the model, or None to load it here.
    """

    model: str
    url: str | None
    timeout: float
    concurrency: int | None
    cluster: Cluster | None


def analyse_files(job: Job, where: Where) -> None:
    """Do a job and say what it came to.

    Raises:
        ServiceError: as `service.bulk.run.run`.
        typer.Exit: it was interrupted, or some rows have no answers.
    """
    if find_spec("pyarrow") is None:
        raise InvalidRequestError(
            "Files need pyarrow: run make setup ARGS=bulk in a clone, else "
            "pip install 'mentalllama[bulk]'."
        )
    checked({**(job.request or {}), "text": PROBE})  # before anything is read or loaded
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
    request = dict(prepared.job.request or {})
    if where.url:
        return await _by_service(prepared, where, where.url, request, shown)
    body = checked({**request, "text": PROBE})
    # What is asked is known before anything is loaded, which is not done for nothing.
    questions = planned(where.model, body)
    facts = await asyncio.to_thread(model_facts, where.model) | policy_facts()

    async def on_ray(told: Shown) -> None:
        assert where.cluster is not None
        # In this thread, where Ctrl-C ends it at once: Ray's own waiting cannot be cancelled.
        heard = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            spread(prepared, questions, told, where.model, request, where.cluster)
        finally:
            signal.signal(signal.SIGINT, heard)

    async def here(told: Shown) -> None:
        async with in_process(where.model, body, questions, notice) as answer:
            told.loaded()
            await _one_by_one(prepared, questions, answer, where.concurrency or _HERE, told)

    work = on_ray if where.cluster else here
    return await _through(prepared, questions, facts, where.model, work, shown)


async def _by_service(
    prepared: Prepared, where: Where, url: str, request: Mapping[str, Any], shown: list[Shown]
) -> Summary:
    concurrency = where.concurrency or _THERE
    service = AsyncService(url, where.timeout, os.environ.get(KEY_VARIABLE), concurrency)
    async with over_http(service, request, _Waits(), _PATIENCE_SECONDS) as answer:
        questions, name = await _probed(service, request)

        async def there(told: Shown) -> None:
            await _one_by_one(prepared, questions, answer, concurrency, told)

        facts = {"service": service.place, "name": name}
        return await _through(prepared, questions, facts, name, there, shown)


async def _one_by_one(
    prepared: Prepared,
    questions: tuple[Question, ...],
    answer: Answer,
    concurrency: int,
    told: Shown,
) -> None:
    rows, total = prepared.survey.all_rows(), prepared.survey.rows
    records = prepared.records(questions)
    await analyse(rows, total, answer, prepared.parts, records, told, concurrency)


async def _through(
    prepared: Prepared,
    questions: tuple[Question, ...],
    facts: Mapping[str, Any],
    name: str,
    work: Callable[[Shown], Awaitable[None]],
    shown: list[Shown],
) -> Summary:
    asked = prepared.asked(facts, questions)
    if (summary := prepared.finished(asked)) is not None:
        notice("The same run has made it before; nothing was done.")
        return summary
    before = prepared.begin(asked)
    if before.rows:
        notice(f"Going on: {before.rows:,} rows are done already.")
    if before.rows < prepared.survey.rows:
        told = Shown(prepared.survey.rows, before)
        shown.append(told)
        try:
            with told.shown():
                await work(told)
        finally:
            if told.rows:
                prepared.interrupted(Session(rows=told.rows, seconds=told.seconds))
    records, said = prepared.records(questions), load_settings().notice
    return await asyncio.to_thread(prepared.finish, asked, records, name, said)


async def _probed(
    service: AsyncService, request: Mapping[str, Any]
) -> tuple[tuple[Question, ...], str]:
    """What the service asks for such a request, and the name of the model that answers."""
    response = await service.analyze({**request, "explain": "never", "text": PROBE})
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
