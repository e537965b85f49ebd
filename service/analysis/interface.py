"""How everything outside the analysis sees the Analyzer: HTTP, command line, bulk, benchmark."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from imhi.tasks import Question
from service.analysis.manifest import Manifest
from service.analysis.types import Analysis, Event, Options


class Analyzes(Protocol):
    """One loaded model that answers questions on posts."""

    @property
    def model_name(self) -> str:
        """The name under which the model is served."""
        ...

    @property
    def manifest(self) -> Manifest:
        """The model's manifest, or what is assumed of a model without one."""
        ...

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of LoRA adapters that `Options.adapter` may take."""
        ...

    async def analyze(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> Analysis:
        """Answer `questions` on `text`.

        Raises:
            EmptyTextError, TextTooLongError, UnknownNameError, OverloadedError, EngineError.
        """
        ...

    def stream(
        self, text: str, questions: Sequence[Question], options: Options, request_id: str
    ) -> AsyncGenerator[Event, None]:
        """The same, as events; the last is `Completed`. Closing it frees the engine.

        Raises:
            As `analyze`, on the first step or later.
        """
        ...
