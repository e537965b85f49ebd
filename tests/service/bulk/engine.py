"""`mentalllama` with an engine that makes an answer of a text's bytes, for runs that are killed.

    python -m tests.service.bulk.engine analyze FILE --output RESULT …

`BULK_DELAY` is how many seconds it takes a text. Everything else is real.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from imhi.tasks import Question
from service.bulk import on_ray
from service.bulk.answering import Answer, failed
from service.errors import EmptyTextError, ModelError, TextTooLongError

LONGEST = 5000


@asynccontextmanager
async def opened(
    model: str, body: Any, questions: tuple[Question, ...], announce: Callable[[str], None]
) -> AsyncIterator[Answer]:
    """In place of `service.bulk.answering.in_process`."""
    delay = float(os.environ.get("BULK_DELAY", "0"))

    if os.environ.get("BULK_FAILS"):
        raise ModelError("The model cannot be loaded.")

    async def answer(text: str) -> dict[str, Any]:
        await asyncio.sleep(delay)
        return outcome(text, questions)

    yield answer


def outcome(text: str, questions: tuple[Question, ...]) -> dict[str, Any]:
    """What is always said about a text."""
    if not text.strip():
        return dict(failed(EmptyTextError("The text is empty.")))
    if len(text) > LONGEST:
        return dict(failed(TextTooLongError("The text is too long.")))
    share = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
    answers = []
    for question in questions:
        rest = (1 - share) / (len(question.labels) - 1)
        probabilities = {
            label.id: rest if place else share for place, label in enumerate(question.labels)
        }
        best = max(probabilities, key=probabilities.__getitem__)
        quote = text[:4]
        answers.append(
            {
                "task": question.task,
                "question": question.id,
                "question_text": question.text,
                "label": best if probabilities[best] > 0.55 else None,
                "candidate": best,
                "probability": probabilities[best],
                "probabilities": probabilities,
                "label_mass": 0.9,
                "abstained": probabilities[best] <= 0.55,
                "urgent": False,
                "explanation": f'It says "{quote}".',
                "evidence": [{"quote": quote, "start": 0, "end": len(quote)}],
                "consistency": 0.75,
                "finish_reason": "stop",
            }
        )
    return {"answers": answers, "truncated": [], "error": None}


def install(patch: pytest.MonkeyPatch) -> None:
    """Let runs in this process answer with it."""
    from service.cli import bulk

    patch.setattr(bulk, "in_process", opened)
    patch.setattr(bulk, "model_facts", lambda model: {"path": model})
    patch.setattr(
        on_ray, "OPENS", f"{__name__ if __name__ != '__main__' else __spec__.name}:opened"
    )


def main() -> None:
    from service.cli import main

    install(pytest.MonkeyPatch())
    main()


if __name__ == "__main__":
    main()
