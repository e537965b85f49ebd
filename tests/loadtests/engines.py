"""An engine without vLLM: the analysis's fake one and a client that only empties its cache."""

from __future__ import annotations

from typing import Any

from loadtests.engine import LocalEngine
from service.analysis.analyzer import Analyzer
from service.analysis.manifest import assumed_manifest
from tests.service.analysis.engines import FakeEngine
from tests.tokenizers import word_tokenizer


class FakeClient:
    """Counts how often its cache was emptied; refuses it as often as told."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.emptied = 0

    async def reset_prefix_cache(self) -> bool:
        if self.refusals:
            self.refusals -= 1
            return False
        self.emptied += 1
        return True


def fake_engine(engine: FakeEngine | None = None, client: FakeClient | None = None) -> LocalEngine:
    """A fake engine, in the chat style."""
    engine, tokenizer = engine or FakeEngine(), word_tokenizer()
    analyzer = Analyzer(engine, tokenizer, assumed_manifest("any", True), "tested")
    fake: Any = client or FakeClient()
    return LocalEngine(analyzer, engine, fake, tokenizer)
