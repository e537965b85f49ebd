"""Every answer of a teacher on disk, the moment it comes: a run that is killed asks nothing twice.

One SQLite file. Its key is a digest of the whole request, so that another prompt, model or limit
is another question. It holds the teacher's texts, which quote posts: only its owner may read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import DataError

CACHE_FILE = "teacher.sqlite3"

_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL
) WITHOUT ROWID
"""
_WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a request.

    Attributes:
        text: of the completion; empty where there is none.
        finish_reason: the endpoint's (`stop`, `length`, `content_filter`), or `refused`.
        prompt_tokens: as the endpoint counts them; 0 where it does not.
        completion_tokens: likewise.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class Cache:
    """Answers by the key of their request."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, key: str) -> Answer | None:
        """The answer, or None where the request was not answered yet."""
        row = self._connection.execute(
            "SELECT text, finish_reason, prompt_tokens, completion_tokens FROM answers "
            "WHERE key = ?",
            (key,),
        ).fetchone()
        return Answer(*row) if row else None

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer; it is on disk when this returns. The first one of a key stays."""
        self._connection.execute(
            "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)",
            (
                key,
                answer.text,
                answer.finish_reason,
                answer.prompt_tokens,
                answer.completion_tokens,
            ),
        )
        self._connection.commit()


@contextmanager
def open_cache(path: Path) -> Iterator[Cache]:
    """Open the cache at `path`, made where there is none.

    Raises:
        DataError: the file cannot be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS)
    except (OSError, sqlite3.Error) as error:
        raise DataError(f"{path} cannot be opened ({type(error).__name__}).") from None
    with closing(connection):
        try:
            # A log that is written ahead survives a kill at any moment, and readers do not wait.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
            connection.commit()
            yield Cache(connection)
        except sqlite3.Error as error:
            raise DataError(
                f"{path} cannot be read or written ({type(error).__name__}); if it is damaged, "
                "move it away: its answers are then asked again."
            ) from None


def request_key(body: Mapping[str, Any]) -> str:
    """The key of a request: a digest of its body, whatever the order of its fields."""
    told = json.dumps(body, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()
