"""Examples in the OpenAPI document. Texts and numbers are made up to show the form."""

from __future__ import annotations

from typing import Any

from imhi.tasks import QUESTIONS, WORDING_VERSION
from service.analysis.types import (
    Analysis,
    Answer,
    Decision,
    Distribution,
    Evidence,
    Explanation,
    Timings,
    Usage,
)
from service.api.catalogue import Catalogue, task_entries
from service.api.events import ExplanationEvent, LabelEvent, encode
from service.api.schemas import AnalyzeResponse
from service.api.schemas import Answer as AnswerBody
from service.settings import NOTICE, URGENT_RESOURCES

MODEL = "mentalllama-embedded"
REQUEST_ID = "4f1c2b7e9a0d4c6f8e3b5a7d9c1e2f30"
TEXT = "I keep waking up at four and lie there until the alarm, going through work in my head."

_QUOTE = "going through work in my head"
_ANSWER = Answer(
    question=QUESTIONS["stress"],
    distribution=Distribution({"yes": 0.875, "no": 0.125}, label_mass=0.96),
    decision=Decision(label="yes", candidate="yes", probability=0.875),
    explanation=Explanation(
        text=f'The poster lies awake, "{_QUOTE}".',
        finish_reason="stop",
        tokens=14,
        evidence=(Evidence(_QUOTE, TEXT.index(_QUOTE), TEXT.index(_QUOTE) + len(_QUOTE)),),
        consistency=0.9,
    ),
)
_UNEXPLAINED = Answer(_ANSWER.question, _ANSWER.distribution, _ANSWER.decision)
_RESPONSE = AnalyzeResponse.of(
    [Analysis((_ANSWER,), (), Usage(120, 64, 14), Timings())],
    analysis_id="analysis-0b5fd6a2c1e34d7f9a86b3c2d4e5f607",
    model=MODEL,
    notice=NOTICE,
    urgent_resources=URGENT_RESOURCES,
)

ANALYZE_REQUESTS: dict[str, Any] = {
    "all tasks": {"summary": "All tasks on one text", "value": {"text": TEXT}},
    "labels only": {
        "summary": "Labels of two tasks on several texts, without explanations",
        "value": {
            "texts": [TEXT, "The new flat is quiet. I like it."],
            "tasks": ["stress", "loneliness"],
            "explain": "never",
        },
    },
    "abstain": {
        "summary": "Abstain where the model is unsure, explain only what it found, as a stream",
        "value": {
            "text": TEXT,
            "tasks": ["depression"],
            "explain": "positive",
            "abstention_band": [0.4, 0.6],
            "stream": True,
        },
    },
}
ANALYZE_RESPONSE: dict[str, Any] = _RESPONSE.model_dump(mode="json")
CATALOGUE: dict[str, Any] = Catalogue(
    model=MODEL, wording_version=WORDING_VERSION, tasks=[task_entries(None)[1]]
).model_dump(mode="json")

SERVER_TIMING = (
    "tokenize;dur=2.1, queue;dur=1.2, label_read;dur=85.0, explanation;dur=1900.4, total;dur=1988.0"
)
METRICS = 'mentalllama_requests_total{outcome="ok",route="/analyze"} 12.0\n'
MODELS: dict[str, Any] = {
    "object": "list",
    "data": [{"id": MODEL, "object": "model", "created": 1700000000, "owned_by": "vllm"}],
}
CHAT_REQUEST: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Name three things that help against stress."}],
    "max_tokens": 64,
}
CHAT_RESPONSE: dict[str, Any] = {
    "id": f"chatcmpl-{REQUEST_ID}",
    "object": "chat.completion",
    "created": 1700000000,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Sleep, a walk, and somebody to talk to."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 16, "completion_tokens": 11, "total_tokens": 27},
}
COMPLETION_REQUEST: dict[str, Any] = {"model": MODEL, "prompt": "Stress is", "max_tokens": 16}
COMPLETION_RESPONSE: dict[str, Any] = {
    "id": f"cmpl-{REQUEST_ID}",
    "object": "text_completion",
    "created": 1700000000,
    "model": MODEL,
    "choices": [{"index": 0, "text": " a response to demands.", "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
}

DECISION_REQUEST: dict[str, Any] = {
    "model": MODEL,
    "input": TEXT,
    "questions": [
        {
            "type": "predicate",
            "name": "stress",
            "instructions": "Does the poster suffer from stress?",
        },
        {
            "type": "choice",
            "name": "when",
            "instructions": "When does the poster wake up?",
            "choices": [{"value": "at night"}, {"value": "in the morning"}],
        },
        {
            "type": "score",
            "name": "tension",
            "instructions": "How tense does the poster sound?",
            "levels": [{"label": "calm"}, {"label": "uneasy"}, {"label": "tense"}],
        },
    ],
}
DECISION_RESPONSE: dict[str, Any] = {
    "model": MODEL,
    "answers": [
        {"type": "predicate", "name": "stress", "probability": 0.875},
        {
            "type": "choice",
            "name": "when",
            "choice": "at night",
            "probabilities": [
                {"value": "at night", "probability": 0.75},
                {"value": "in the morning", "probability": 0.25},
            ],
            "confidence": 0.6,
        },
        {
            "type": "score",
            "name": "tension",
            "score": 1.25,
            "probabilities": [
                {"value": 0, "label": "calm", "probability": 0.25},
                {"value": 1, "label": "uneasy", "probability": 0.25},
                {"value": 2, "label": "tense", "probability": 0.5},
            ],
            "confidence": 0.4,
        },
    ],
    "usage": {
        "input_tokens": 240,
        "input_tokens_details": {"cached_tokens": 128, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 240,
    },
}

ERROR_MESSAGES: dict[str, tuple[str, str | None]] = {
    "invalid_request": ("`explanation_tokens` must be at least 1.", "explanation_tokens"),
    "unknown_name": (f"This model is not served. Served: {MODEL}.", "model"),
    "empty_text": ("The text is empty. Send a text with something to read.", "text"),
    "text_too_long": (
        "The text has 9000 tokens; at most 8000 fit. Shorten it or set `truncation`.",
        "text",
    ),
}


def stream() -> str:
    """A stream with one question, from its first event to its last."""
    label = LabelEvent(index=0, answer=AnswerBody.of(_UNEXPLAINED))
    delta = ExplanationEvent(index=0, task="stress", question="stress", delta="The poster")
    chunks = (encode("label", label), encode("explanation", delta), encode("result", _RESPONSE))
    return b"".join(chunks).decode()
