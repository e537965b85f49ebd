"""Keeps what people send out of vLLM's log.

Some of vLLM's warnings about a request repeat a part of it: the name of a model that does not
exist, a tool call that does not parse. Once the server answers requests, records of the modules
that handle them keep their constant text and lose everything that was put into it.
"""

from __future__ import annotations

import logging

_HANDLE_REQUESTS = (
    "vllm.entrypoints.",
    "vllm.inputs.",
    "vllm.parser.",
    "vllm.reasoning.",
    "vllm.renderers.",
    "vllm.tokenizers.",
    "vllm.tool_parsers.",
    "vllm.v1.structured_output",
)
_GRAMMARS = (
    "vllm.v1.structured_output",
    "vllm.v1.structured_output.backend_guidance",
    "vllm.v1.structured_output.request",
    "vllm.v1.structured_output.utils",
)
_START_AND_STOP = "vllm.entrypoints.launchers."


class ConstantText(logging.Filter):
    """Takes the arguments and the exception out of records that a request's content could be in."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without what was put into its text."""
        if record.name.startswith(_HANDLE_REQUESTS) and not record.name.startswith(_START_AND_STOP):
            record.args = ()
            record.exc_info = None
            record.exc_text = None
            record.stack_info = None
        return True


def keep_requests_out() -> None:
    """Put the filter on every handler of vLLM's logger; a second call changes nothing."""
    for handler in logging.getLogger("vllm").handlers:
        _filter(handler)


def keep_grammars_out() -> None:
    """Put it on what logs of grammars, which hold posts, in the engine's processes.

    From their start on: these loggers say nothing before there is a request.
    """
    for name in _GRAMMARS:
        _filter(logging.getLogger(name))


def _filter(filterer: logging.Filterer) -> None:
    if not any(isinstance(one, ConstantText) for one in filterer.filters):
        filterer.addFilter(ConstantText())
