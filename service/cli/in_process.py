"""An analysis without a service: the same request and response as `POST /analyze`, in this process.

The request is checked before anything is loaded, because loading takes long; then a model is found
and loaded, the text analysed, and the response made by the code that makes the service's.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from service.cli.terminal import notice, waiting
from service.errors import EmptyTextError, InvalidRequestError
from service.models import resolve_model
from service.settings import load_policy, load_settings

if TYPE_CHECKING:
    from service.api.schemas import AnalyzeRequest


def analyze_in_process(model: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Load a model, analyse one text, and unload it.

    Args:
        model: a name that `service.models.resolve_model` takes.
        request: fields of `POST /analyze`, with `text` and without `model` and `stream`.

    Returns:
        The response's JSON object.

    Raises:
        ServiceError: whatever the service would answer with; ModelError where the model cannot be
            loaded, InvalidSettingsError where a setting is wrong.
    """
    return asyncio.run(_analyze(model, checked(request)))


async def _analyze(model: str, body: AnalyzeRequest) -> dict[str, Any]:
    from service.analysis.redaction import Redacting
    from service.api.schemas import AnalyzeResponse
    from service.api.work import analyze_all, plan

    settings = load_settings()
    policy = load_policy(settings)
    analysis_id = f"analysis-{uuid.uuid4().hex}"
    # Refuses what it can before anything is loaded; what is asked depends on the model's manifest.
    plan(body, (model,), settings, analysis_id, request_id=analysis_id)
    resolved = resolve_model(model, announce=notice)

    from service.local import open_analyzer

    async with AsyncExitStack() as stack:
        with waiting(f"Loading {resolved.name}, the first time a few minutes …"):
            analyzer = await stack.enter_async_context(open_analyzer(resolved, policy=policy))
        work = plan(body, (model,), settings, analysis_id, analysis_id, analyzer.manifest)
        reader = Redacting(analyzer) if settings.redact else analyzer
        with waiting("Reading the text …"):
            outcomes = await analyze_all(work, reader)
        response = AnalyzeResponse.of(
            outcomes,
            analysis_id=analysis_id,
            model=analyzer.model_name,
            notice=settings.notice,
            urgent_resources=settings.urgent_resources,
        )
    return response.model_dump(mode="json")


def checked(request: Mapping[str, Any]) -> AnalyzeRequest:
    """The request as the service would take it.

    Raises:
        EmptyTextError: there is nothing to read.
        InvalidRequestError: a field is wrong.
    """
    from service.api.schemas import AnalyzeRequest
    from service.gate.fields import describe, safe_path

    if not str(request["text"]).strip():
        raise EmptyTextError("The text is empty. Send at least one word.", param="text")
    try:
        # Not strict: a list stands for the pair that JSON has no other way to write.
        return AnalyzeRequest.model_validate(request, strict=False)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        paths = [safe_path(detail["loc"], AnalyzeRequest.model_fields) for detail in details]
        said = dict.fromkeys(map(describe, details, paths))
        raise InvalidRequestError(f"{'. '.join(said)}.", param=paths[0]) from None
