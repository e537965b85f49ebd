"""What may be said about a wrong field: its name and what is asked of it, never what was in it.

Names come from requests too (an unknown field, a key of a mapping) and may hold anything, so only
known names are repeated. What is asked is said in our words, chosen by pydantic's error type.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "missing": "is missing",
        "extra_forbidden": "is not a field of this request",
        "json_invalid": "is not valid JSON",
        "json_type": "must be JSON",
        "model_type": "must be a JSON object",
        "model_attributes_type": "must be a JSON object",
        "dict_type": "must be an object",
        "list_type": "must be a list",
        "tuple_type": "must be a list",
        "string_type": "must be a string",
        "string_unicode": "must be valid Unicode",
        "string_too_short": "is too short",
        "string_too_long": "is too long",
        "bool_type": "must be true or false",
        "bool_parsing": "must be true or false",
        "int_type": "must be a whole number",
        "int_parsing": "must be a whole number",
        "int_parsing_size": "is too large a number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "float_parsing": "must be a number",
        "finite_number": "must be a finite number",
        "greater_than": "is too small",
        "greater_than_equal": "is too small",
        "less_than": "is too large",
        "less_than_equal": "is too large",
        "too_short": "has too few items",
        "too_long": "has too many items",
        "enum": "is not one of the values it can take",
        "literal_error": "is not one of the values it can take",
        "union_tag_invalid": "is not of a known `type`",
        "union_tag_not_found": "has no `type`",
        "none_required": "must be left out",
        "value_error": "is not valid",
    }
)
"""Pydantic's error type to what is said."""

# With what pydantic took from the model's own definition, which is public.
_BOUNDS: Mapping[str, str] = MappingProxyType(
    {
        "greater_than": "must be greater than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be at most {le}",
        "too_short": "must have at least {min_length} items",
        "too_long": "must have at most {max_length} items",
        "enum": "must be one of {expected}",
        "literal_error": "must be one of {expected}",
    }
)

OPENAI_FIELDS: frozenset[str] = frozenset(
    [
        "arguments",
        "audio_url",
        "content",
        "data",
        "detail",
        "file",
        "frequency_penalty",
        "function",
        "functions",
        "id",
        "image_url",
        "include_usage",
        "input",
        "input_ids",
        "input_text",
        "input_tokens",
        "json_schema",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "min_p",
        "min_tokens",
        "model",
        "n",
        "name",
        "parallel_tool_calls",
        "parameters",
        "presence_penalty",
        "priority",
        "prompt",
        "prompt_logprobs",
        "reasoning_effort",
        "refusal",
        "repetition_penalty",
        "response_format",
        "role",
        "schema",
        "seed",
        "stop",
        "stop_token_ids",
        "stream",
        "stream_options",
        "strict",
        "structured_outputs",
        "suffix",
        "temperature",
        "text",
        "tool_call_id",
        "tool_calls",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "truncate_prompt_tokens",
        "type",
        "url",
        "user",
        "video_url",
    ]
)
"""Names of the fields of OpenAI requests (vLLM's additions included) that an error may repeat."""

_SEGMENT = re.compile(r"\d{1,6}")


def safe_path(location: Sequence[str | int], known: Collection[str]) -> str | None:
    """The dotted path to a field, as far as it is made of known names and of indexes.

    Returns:
        The path without a leading `body`; None where not even its first part is known.
    """
    parts = [str(part) for part in location]
    if parts and parts[0] == "body":
        parts = parts[1:]
    kept: list[str] = []
    for part in parts:
        if part not in known and not (kept and _SEGMENT.fullmatch(part)):
            break
        kept.append(part)
    return ".".join(kept) or None


def describe(detail: Mapping[str, Any], path: str | None) -> str:
    """One of pydantic's error details as a sentence without its full stop."""
    kind = str(detail.get("type", ""))
    said = WORDS.get(kind, "is not valid")
    if kind in _BOUNDS:
        said = _BOUNDS[kind].format_map(detail.get("ctx") or {})
    if kind == "extra_forbidden":  # the unknown name itself is not repeated
        return f"`{path}` has an unknown field" if path else "The body has an unknown field"
    return f"`{path}` {said}" if path else f"The body {said}"
