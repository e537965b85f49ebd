"""How the service's own log lines are written: as text on a terminal, or one JSON object a line.

vLLM's and uvicorn's lines follow through vLLM's own option, which `service.launch` sets
(`--logging-config.formatter json`). Facts of a request travel in the record's `facts`
(`service.gate.record`), never in the message.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from service.failures import logger

LogFormat = Literal["text", "json"]

_MARK = "mentalllama"


def facts_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """What a record carries beside its message."""
    facts: Mapping[str, Any] = getattr(record, "facts", {})
    return facts


class TextFormatter(logging.Formatter):
    """A line to read: time, level, message, then facts as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        facts = "".join(f" {k}={v}" for k, v in facts_of(record).items() if v is not None)
        at = _at(record).astimezone().strftime("%m-%d %H:%M:%S")  # local, as vLLM's
        return f"{record.levelname} {at} [{record.name}] {record.getMessage()}{facts}"


class JsonFormatter(logging.Formatter):
    """One JSON object: time (RFC 3339, UTC), level, logger, message, pid, and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        return json.dumps(
            {
                "time": _at(record).isoformat(timespec="milliseconds"),
                "level": record.levelname,
                "logger": record.name,
                "message": record.getMessage(),
                "process": record.process,
                **facts_of(record),
            },
            ensure_ascii=False,
        )


def configure_logs(how: LogFormat) -> None:
    """Have the service's own log written to standard output; a second call replaces the first."""
    handler = logging.StreamHandler(sys.stdout)
    handler.set_name(_MARK)
    handler.setFormatter(JsonFormatter() if how == "json" else TextFormatter())
    for present in list(logger.handlers):
        if present.get_name() == _MARK:
            logger.removeHandler(present)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").addFilter(_without_target)


def _at(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _without_target(record: logging.LogRecord) -> bool:
    """Take the target out of uvicorn's line on a request: anything can stand in it."""
    from service.gate.routes import OTHER, ROUTES

    if isinstance(record.args, tuple) and len(record.args) == 5:
        client, method, target, version, status = record.args
        path = str(target).split("?", 1)[0]
        record.args = (client, method, path if path in ROUTES else OTHER, version, status)
    return True
