"""How much a request asks for, estimated from its body before anything is tokenized.

The unit is the *weighted token*: a token of a prompt counts one, a generated token three. On two
cores the embedded model was measured at 1,600 prompt tokens a second and at 400 to 640 generated
ones; on other hardware the ratio differs, which the measured rate of `service.gate.admission`
absorbs as long as the mix of work does not change at once.

The estimate takes four bytes of UTF-8 for a token, as English has it, and generation to its limit.
`usage_of` reads what it was in truth from the end of the response; `service.gate.admission` learns
the ratio of the two for each route and corrects later estimates by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from imhi.tasks import QUESTIONS, TASKS
from service.analysis.types import Explain, Options, Scoring

GENERATED_WEIGHT = 3
TAIL_BYTES = 4096
"""How much of a response's end holds its usage."""

_BYTES_PER_TOKEN = 4
_TAIL_TOKENS = 40  # of a question and its label read, after the post
_SENTENCE_READS = 20  # of a question, with `scoring: sentences`
_CHAT_TOKENS = 256  # assumed of a chat that names no limit
_COMPLETION_TOKENS = 16  # vLLM's and OpenAI's default of /v1/completions
_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class Demand:
    """What one request asks for.

    Attributes:
        posts: texts, prompts or chats.
        characters: Unicode code points of the longest of them.
        longest: its place among them, from 0.
        prompt_tokens: tokens to be read, estimated.
        generated_tokens: most tokens to be generated.
    """

    posts: int
    characters: int
    longest: int
    prompt_tokens: int
    generated_tokens: int

    @property
    def weight(self) -> int:
        """The work in weighted tokens."""
        return weigh(self.prompt_tokens, self.generated_tokens)


def weigh(prompt_tokens: int, generated_tokens: int) -> int:
    """Weighted tokens, at least 1."""
    return max(1, prompt_tokens + GENERATED_WEIGHT * generated_tokens)


def demand_of_analysis(body: Mapping[str, Any], size: int) -> Demand:
    """Of a body of /analyze: a wrong one is left to the route to refuse, and counts as little.

    Args:
        body: the JSON object.
        size: bytes of the whole body.
    """
    texts = [one for one in _list(body.get("texts"), body.get("text")) if isinstance(one, str)]
    questions = _questions(body)
    defaults = Options()
    explains = body.get("explain", defaults.explain) != Explain.NEVER
    explanation = _count(body.get("explanation_tokens"), defaults.explanation_tokens)
    reads = _SENTENCE_READS if body.get("scoring") == Scoring.SENTENCES else 1
    prompt = generated = 0
    for text in texts:
        prompt += len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN
        prompt += questions * reads * _TAIL_TOKENS
        if explains:
            generated += questions * explanation
            if body.get("consistency", defaults.consistency) is not False:
                prompt += questions * reads * (explanation + _TAIL_TOKENS)
    longest = max(range(len(texts)), key=lambda index: len(texts[index]), default=0)
    characters = len(texts[longest]) if texts else 0
    # A body is kept while it waits, whatever is in it.
    prompt = max(prompt, size // _BYTES_PER_TOKEN)
    return Demand(max(1, len(texts)), characters, longest, prompt, generated)


def demand_of_chat(body: Mapping[str, Any], size: int) -> Demand:
    """Of a body of /v1/chat/completions; arguments as `demand_of_analysis`."""
    limit = _count(body.get("max_completion_tokens") or body.get("max_tokens"), _CHAT_TOKENS)
    generated = limit * _count(body.get("n"), 1)
    messages = _list(body.get("messages"))
    characters = sum(_characters(one.get("content")) for one in messages if isinstance(one, dict))
    return Demand(1, characters, 0, size // _BYTES_PER_TOKEN, generated)


def demand_of_completion(body: Mapping[str, Any], size: int) -> Demand:
    """Of a body of /v1/completions; arguments as `demand_of_analysis`."""
    given = body.get("prompt")
    # One prompt as text or as token ids, or a list of either.
    single = not isinstance(given, list) or (bool(given) and isinstance(given[0], int))
    prompts = [given] if single else _list(given)
    lengths = [_characters(one) for one in prompts]
    longest = max(range(len(lengths)), key=lengths.__getitem__, default=0)
    generated = _count(body.get("max_tokens"), _COMPLETION_TOKENS) * _count(body.get("n"), 1)
    return Demand(
        posts=max(1, len(prompts)),
        characters=lengths[longest] if lengths else 0,
        longest=longest,
        prompt_tokens=size // _BYTES_PER_TOKEN,
        generated_tokens=generated * max(1, len(prompts)),
    )


def demand_of_decisions(body: Mapping[str, Any], size: int) -> Demand:
    """Of a body of /v1/decisions; arguments as `demand_of_analysis`."""
    questions = len(_list(body.get("questions")))
    given = body.get("input")
    messages = given if isinstance(given, list) else [{"content": given}]
    characters = sum(_characters(one.get("content")) for one in messages if isinstance(one, dict))
    prompt = size // _BYTES_PER_TOKEN + questions * _TAIL_TOKENS
    return Demand(1, characters, 0, prompt, 0)


DEMANDS: Mapping[str, Callable[[Mapping[str, Any], int], Demand]] = MappingProxyType(
    {
        "/analyze": demand_of_analysis,
        "/v1/chat/completions": demand_of_chat,
        "/v1/completions": demand_of_completion,
        "/v1/decisions": demand_of_decisions,
    }
)
"""Routes that give the engine work, and how much."""

# A quote inside a JSON string is escaped, so an unescaped one is part of the form.
_USAGE = {
    name: re.compile(rb'(?<!\\)"' + name.encode() + rb'":\s?(\d{1,12})')
    for name in ("prompt_tokens", "cached_tokens", "completion_tokens")
}


def usage_of(tail: bytes) -> int | None:
    """Weighted tokens that a response says it took; cached ones cost nothing.

    Args:
        tail: the last `TAIL_BYTES` of its body.

    Returns:
        None where it does not say.
    """
    # In whatever form, the counts stand in the last `usage`; a search of the whole takes longer.
    said = tail[max(tail.rfind(b'"usage"'), 0) :]
    found = {name: pattern.findall(said) for name, pattern in _USAGE.items()}
    if not found["prompt_tokens"]:
        return None
    prompt, cached, completion = (int(values[-1]) if values else 0 for values in found.values())
    return weigh(max(0, prompt - cached), completion)


def _questions(body: Mapping[str, Any]) -> int:
    """How many questions are asked on each text, at most."""
    asked = _names(body.get("questions"))
    if asked:
        return len(asked & QUESTIONS.keys())
    tasks = _names(body.get("tasks")) or set(TASKS)
    return sum(len(task.questions) for name, task in TASKS.items() if name in tasks)


def _names(value: object) -> set[str]:
    return {one for one in value if isinstance(one, str)} if isinstance(value, list) else set()


def _list(value: object, otherwise: object = None) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if otherwise is None else [otherwise]


def _count(value: object, otherwise: int) -> int:
    """A positive whole number, also as vLLM's routes take it: `2.0` and `"2"` are two."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return otherwise
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return otherwise if isinstance(value, str) else _MOST
    return int(min(number, _MOST)) if number >= 1 else otherwise


def _characters(content: object) -> int:
    """Code points of a message's content or of a prompt; a token id counts as four."""
    if isinstance(content, str):
        return len(content)
    if not isinstance(content, list):
        return 0
    parts = (one.get("text") if isinstance(one, dict) else one for one in content)
    return sum(
        len(one) if isinstance(one, str) else _BYTES_PER_TOKEN if isinstance(one, int) else 0
        for one in parts
    )
