"""What a whole run came to, as JSON beside its result: counts and speed, and no post."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from service.bulk.tally import Tally


class Session(BaseModel):
    """One process's share of a run.

    Attributes:
        rows: how many it analysed.
        seconds: how long that took, loading left out but on Ray, whose actors load by themselves.
    """

    rows: int
    seconds: float


class Summary(BaseModel):
    """Everything about a result that is not in it.

    Attributes:
        schema_version: of this form.
        result: the result's file name.
        files: the input files' names.
        model: who answered.
        request: the fields of the request that was made on each text.
        tally: what was counted.
        sessions: the processes that analysed it and were not killed.
        notice: that this is no diagnosis.
        run: SHA-256 of everything that was asked, inputs included.
        sha256: of the result's bytes.
    """

    schema_version: int = 1
    result: str
    files: Sequence[str]
    model: str
    request: dict[str, object]
    tally: Tally
    sessions: Sequence[Session]
    notice: str
    run: str
    sha256: str

    @property
    def rows_per_second(self) -> float | None:
        """Over the sessions that are known."""
        seconds = sum(one.seconds for one in self.sessions)
        return sum(one.rows for one in self.sessions) / seconds if seconds else None


def read_summary(result: Path) -> Summary | None:
    """The summary of a result; None where there is none that can be read."""
    try:
        return Summary.model_validate_json(summary_path(result).read_bytes())
    except (OSError, ValueError):
        return None


def summary_path(result: Path) -> Path:
    """Where the summary of a result lies."""
    return result.with_name(f"{result.name}.summary.json")


def page_path(result: Path) -> Path:
    """Where the page of a result lies."""
    return result.with_name(f"{result.name}.summary.html")
