"""Who answers on a row's text: the Analyzer in this process, or a running service.

Both give what `POST /analyze` says of one text. A text that cannot be read is an outcome with an
error; whatever else goes wrong ends the run, which can be taken up again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from imhi.tasks import Question
from service.bulk.records import Outcome
from service.client import BULK, AsyncService, RefusedError, UnreachableError
from service.errors import (
    BodyTooLargeError,
    EmptyTextError,
    ModelError,
    NotReadyError,
    OverloadedError,
    ServiceError,
    TextTooLongError,
)

if TYPE_CHECKING:
    from service.api.schemas import AnalyzeRequest

Answer = Callable[[str], Awaitable[Outcome]]
"""Text in, outcome out."""

_OF_THE_TEXT = (EmptyTextError, TextTooLongError, BodyTooLargeError)
_TEMPORARY = (UnreachableError, OverloadedError, NotReadyError)
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_TRIES = 3
PROBE = "The bus was on time today."
"""A text on which every model answers."""


def failed(error: ServiceError) -> Outcome:
    """The outcome of a row that has no answers."""
    said = {"code": error.code, "message": error.message}
    return {"answers": [], "truncated": [], "error": said}


def planned(model: str, body: AnalyzeRequest) -> tuple[Question, ...]:
    """What a request asks of a model, which is not loaded for it.

    Args:
        model: a name that `service.models.resolve_model` takes.
        body: the request that is made on each text; its own text does not count.

    Raises:
        ServiceError: the request asks what there is not, or there is no such model.
    """
    from service.api.work import plan
    from service.models import manifest_of
    from service.settings import load_settings

    settings = load_settings()
    plan(body, (model,), settings, "bulk", None)  # refuses what it can before looking for a model
    return plan(body, (model,), settings, "bulk", None, manifest_of(model)).questions


@asynccontextmanager
async def in_process(
    model: str, body: AnalyzeRequest, questions: Sequence[Question], opened: Callable[[str], None]
) -> AsyncIterator[Answer]:
    """Load a model and answer with it.

    Args:
        model: a name that `service.models.resolve_model` takes.
        body: the request that is made on each text; its own text does not count.
        questions: what it asks of the model, as `planned` says.
        opened: told the name of what is loaded, before it is.

    Raises:
        ServiceError: the model cannot be loaded, or answers other questions.
    """
    from service.analysis.redaction import Redacting
    from service.api.schemas import Result
    from service.api.work import analyze_all, plan
    from service.local import open_analyzer
    from service.models import resolve_model
    from service.settings import load_policy, load_settings

    settings = load_settings()
    resolved = resolve_model(model, announce=opened)
    opened(f"Loading {resolved.name} …")
    async with AsyncExitStack() as stack:
        analyzer = await stack.enter_async_context(
            open_analyzer(resolved, policy=load_policy(settings))
        )
        reader = Redacting(analyzer) if settings.redact else analyzer
        if plan(body, (model,), settings, "bulk", None, analyzer.manifest).questions != questions:
            raise ModelError(
                "The model's manifest asks tasks in other wordings than was known before it was "
                "loaded: give its directory, or name the questions with --questions."
            )
        number = 0

        async def answer(text: str) -> Outcome:
            nonlocal number
            number += 1
            asked = body.model_copy(update={"text": text})
            work = plan(asked, (model,), settings, f"bulk-{number}", None, analyzer.manifest)
            try:
                [outcome] = await analyze_all(work, reader)
            except _OF_THE_TEXT as error:
                return failed(error)
            return Result.of(0, outcome, None).model_dump(mode="json")

        yield blaming(answer)


@asynccontextmanager
async def over_http(
    service: AsyncService,
    request: Mapping[str, Any],
    waits: Callable[[float], None],
    patience: float,
) -> AsyncIterator[Answer]:
    """Answer with a running service.

    Args:
        service: where.
        request: the fields of the request but `text`.
        waits: told the seconds whenever the service wants to be asked again later.
        patience: seconds for which it is asked again in vain before the run ends.
    """

    async def answer(text: str) -> Outcome:
        loop = asyncio.get_running_loop()
        since, wait = loop.time(), _FIRST_WAIT
        while True:
            try:
                response = await service.analyze({**request, "text": text}, BULK)
            except _OF_THE_TEXT as error:
                return failed(error)
            except ServiceError as error:
                if error.retry_after is None and not isinstance(error, _TEMPORARY):
                    raise
                if loop.time() - since > patience:
                    raise
                # As told by Retry-After; some apart, so that not all come back at once.
                seconds = float(error.retry_after) if error.retry_after is not None else wait
                seconds *= random.uniform(1.0, 1.25)
                waits(seconds)
                await asyncio.sleep(seconds)
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            [result] = response["results"]
            return {name: result[name] for name in ("answers", "truncated", "error")}

    async with service:
        yield blaming(answer)


def blaming(answer: Answer) -> Answer:
    """Tell a text on which the engine fails from an engine that fails.

    Otherwise one such text would end every run at the same place. A text that fails again and
    again is a row with an error, if another text is answered meanwhile.

    Args:
        answer: who answers.

    Returns:
        The same; it raises where the other text is not answered either.
    """

    async def answer_or_blame(text: str) -> Outcome:
        failures: list[ServiceError] = []
        while len(failures) < _TRIES:
            try:
                return await answer(text)
            except ServiceError as error:
                if error.status not in (500, 502) or isinstance(error, RefusedError | ModelError):
                    raise
                failures.append(error)
        await answer(PROBE)
        return failed(failures[-1])

    return answer_or_blame
