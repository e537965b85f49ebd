"""The deployment that the end-to-end tests share: its model's names and its callers' keys."""

from __future__ import annotations

import json
from pathlib import Path

from service.gate.keys import hash_key

MODEL = "mentallama-tiny"
ADAPTER = "adapted"
KEY = "key-of-the-tests-5e1f"
"""For every route."""
OTHER_KEY = "key-of-another-caller-7a20"
OPERATOR_KEY = "key-of-the-operator-91c3"
LIMITED_KEY = "key-with-limits-c40b"
REQUESTS_PER_MINUTE = 2


def entry(name: str, key: str, *scopes: str, **fields: object) -> dict[str, object]:
    """An entry of a file of keys."""
    return {"name": name, "sha256": [hash_key(key)], "scopes": scopes, **fields}


ENTRIES = [
    entry("tests", KEY, "analyze", "openai", "metrics"),
    entry("other", OTHER_KEY, "analyze", "openai"),
    entry("operator", OPERATOR_KEY, "metrics"),
    entry("limited", LIMITED_KEY, "analyze", limits={"requests_per_minute": REQUESTS_PER_MINUTE}),
]


def write_keys(path: Path, entries: list[dict[str, object]]) -> None:
    """Put a file of keys in place at once."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"keys": entries}))
    beside.replace(path)


def authorized(key: str | None) -> dict[str, str]:
    """The header of a caller with this key, or of one without."""
    return {} if key is None else {"authorization": f"Bearer {key}"}
