"""vLLM's log says that something happened to a request, and nothing of the request."""

from __future__ import annotations

import logging

import pytest

from service.logs import keep_grammars_out, keep_requests_out

SECRET = "nobody may read this"


@pytest.fixture
def lines():
    """What a handler on vLLM's logger writes, once requests are kept out."""
    written: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    vllm, handler = logging.getLogger("vllm"), Kept()
    vllm.addHandler(handler)
    keep_requests_out()
    keep_requests_out()
    assert len(handler.filters) == 1
    yield written
    vllm.removeHandler(handler)


@pytest.mark.parametrize(
    "module", ["vllm.entrypoints.openai.chat_completion.serving", "vllm.renderers.hf"]
)
def test_what_was_put_into_a_request_s_record_is_gone(lines: list[str], module: str) -> None:
    logging.getLogger(module).error("Error with model %s", SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger(module).exception("It failed: %r", SECRET)
    assert lines == ["Error with model %s", "It failed: %r"]


def test_a_grammar_is_not_logged_in_any_process(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_grammars_out()
    keep_grammars_out()
    logger = logging.getLogger("vllm.v1.structured_output.backend_guidance")
    # What configured logging earlier in this process may have switched it off.
    monkeypatch.setattr(logger, "disabled", False)
    caplog.set_level(logging.WARNING, logger=logger.name)
    assert len(logger.filters) == 1
    caplog.handler.addFilter(lambda record: record.name.startswith("vllm"))
    logger.propagate, propagated = True, logger.propagate
    logging.getLogger("vllm").addHandler(caplog.handler)
    try:
        logger.warning("LLMatcher error: %s", SECRET)
    finally:
        logging.getLogger("vllm").removeHandler(caplog.handler)
        logger.propagate = propagated
    assert "LLMatcher error" in caplog.text
    assert SECRET not in caplog.text


def test_the_engine_and_the_start_are_logged_as_before(lines: list[str]) -> None:
    logging.getLogger("vllm.v1.engine.core").error("%d blocks", 7)
    logging.getLogger("vllm.entrypoints.launchers.launcher").error("port %d", 8000)
    assert lines == ["7 blocks", "port 8000"]
