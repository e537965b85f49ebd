"""Who answers on a row's text: the Analyzer in this process, or a running service.

Both give what `POST /analyze` says of one text. A text that cannot be read is an outcome with an
error; whatever else goes wrong ends the run, which can be taken up again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from imhi.tasks import Question
from service.bulk.records import Outcome
from service.client import AsyncService, UnreachableError
from service.errors import (
    BodyTooLargeError,
    EmptyTextError,
    OverloadedError,
    ServiceError,
    TextTooLongError,
)

if TYPE_CHECKING:
    from service.api.schemas import AnalyzeRequest

Answer = Callable[[str], Awaitable[Outcome]]
"""Text in, outcome out."""

_OF_THE_TEXT = (EmptyTextError, TextTooLongError, BodyTooLargeError)
_BULK = {"X-MentalLLaMA-Priority": "bulk"}
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0


def failed(error: ServiceError) -> Outcome:
    """The outcome of a row that has no answers."""
    said = {"code": error.code, "message": error.message}
    return {"answers": [], "truncated": [], "error": said}


@asynccontextmanager
async def in_process(
    model: str, body: AnalyzeRequest, opened: Callable[[str], None]
) -> AsyncIterator[tuple[Answer, tuple[Question, ...]]]:
    """Load a model and answer with it.

    Args:
        model: a name that `service.models.resolve_model` takes.
        body: the request that is made on each text; its own text does not count.
        opened: told the name of what is loaded, before it is.

    Raises:
        ServiceError: the model cannot be loaded, or the request asks what there is not.
    """
    from service.analysis.redaction import Redacting
    from service.api.schemas import Result
    from service.api.work import analyze_all, plan
    from service.local import open_analyzer
    from service.models import resolve_model
    from service.settings import load_policy, load_settings

    settings = load_settings()
    plan(body, (model,), settings, "bulk", None)  # refuses what it can before loading
    resolved = resolve_model(model, announce=opened)
    opened(f"Loading {resolved.name} …")
    async with AsyncExitStack() as stack:
        analyzer = await stack.enter_async_context(
            open_analyzer(resolved, policy=load_policy(settings))
        )
        reader = Redacting(analyzer) if settings.redact else analyzer
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

        yield answer, plan(body, (model,), settings, "bulk", None, analyzer.manifest).questions


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
                response = await service.analyze({**request, "text": text}, _BULK)
            except _OF_THE_TEXT as error:
                return failed(error)
            except ServiceError as error:
                later = error.retry_after is not None
                if not later and not isinstance(error, UnreachableError | OverloadedError):
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
        yield answer
