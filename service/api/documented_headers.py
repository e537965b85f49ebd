"""The request headers that the OpenAPI document describes."""

from __future__ import annotations

from typing import Any

WORK_HEADERS: dict[str, Any] = {
    "Deadline": {
        "name": "X-MentalLLaMA-Deadline",
        "in": "header",
        "required": False,
        "description": (
            "Seconds from the arrival of the body in which the answer must be complete (a "
            "stream's: must have begun). What cannot be done by then is refused at once (503, "
            "`deadline_unreachable`) or stopped (504)."
        ),
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 86400},
        "example": 30,
    },
    "Priority": {
        "name": "X-MentalLLaMA-Priority",
        "in": "header",
        "required": False,
        "description": (
            "Interactive requests are started before bulk ones. Without it a request of few texts "
            "is interactive, and where the key has a priority that one counts."
        ),
        "schema": {"type": "string", "enum": ["interactive", "bulk"]},
        "example": "bulk",
    },
}
"""Of every route that gives the engine work, by component name."""
