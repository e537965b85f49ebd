"""From a row and what was said about it to records of a result.

`tidy` has a record for each row and question, `wide` one for each row. A row that failed has one
record in both, with its error. Columns that came with the row stand first; where one has a name
that the result needs, it is called `input_…`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from imhi.tasks import Question
from service.bulk.sources import Row

if TYPE_CHECKING:
    import pyarrow as pa

ROW = "row"

_SCALARS: Mapping[str, type] = {
    "label": str,
    "candidate": str,
    "probability": float,
    "abstained": bool,
    "urgent": bool,
    "label_mass": float,
    "explanation": str,
    "consistency": float,
    "finish_reason": str,
}


class Layout(StrEnum):
    """How the answers on one row are laid out."""

    TIDY = "tidy"
    WIDE = "wide"


Outcome = Mapping[str, Any]
"""What was said about a text, as a result of `POST /analyze`: `answers`, `truncated`, `error`."""


@dataclass(frozen=True)
class Records:
    """The form of a result.

    Attributes:
        layout: how the answers are laid out.
        text: the name of the column of texts, which is kept; None leaves the texts out.
        carried: columns that come with a row, with their types.
        questions: what is asked; they make the columns of a wide result.
        nested: whether a value may be a map or a list; else these are JSON in a text.
    """

    layout: Layout
    text: str | None
    carried: pa.Schema
    questions: tuple[Question, ...]
    nested: bool

    @cached_property
    def schema(self) -> pa.Schema:
        """The result's columns."""
        import pyarrow as pa

        kept = [pa.field(name, kind) for name, kind in self._kept]
        return pa.schema([pa.field(ROW, pa.int64()), *kept, *self._own_fields])

    def of(self, number: int, row: Row, outcome: Outcome) -> Iterator[dict[str, Any]]:
        """The records of a row.

        Args:
            number: of the row among all, from 0.
            row: what was read.
            outcome: what was said about it.
        """
        values = [row.columns.get(name) for name in self.carried.names]
        if self.text is not None:
            values.insert(0, row.text)
        begun: dict[str, Any] = {ROW: number}
        for (name, kind), value in zip(self._kept, values, strict=True):
            begun[name] = _plain(value, kind)
        error = outcome["error"]
        if error is not None:
            yield begun | {"error": error["code"], "error_message": error["message"]}
            return
        truncated = self._list(outcome["truncated"])
        if self.layout is Layout.TIDY:
            for answer in outcome["answers"]:
                own = {name: answer[name] for name in _SCALARS}
                yield {
                    **begun,
                    "task": answer["task"],
                    "question": answer["question"],
                    **own,
                    "probabilities": self._map(answer["probabilities"]),
                    "evidence": self._list(answer["evidence"]),
                    "truncated": truncated,
                }
            return
        wide: dict[str, Any] = {}
        for answer in outcome["answers"]:
            name = answer["question"]
            wide |= {f"{name}.{own}": answer[own] for own in _SCALARS}
            wide |= {f"{name}.p.{label}": p for label, p in answer["probabilities"].items()}
            wide[f"{name}.evidence"] = self._list(answer["evidence"])
        yield {**begun, **wide, "truncated": truncated}

    @cached_property
    def _kept(self) -> tuple[tuple[str, pa.DataType], ...]:
        """What columns of the input are called in the result, and their types, the text first."""
        import pyarrow as pa

        kept = [] if self.text is None else [(self.text, pa.string())]
        for name, kind in zip(self.carried.names, self.carried.types, strict=True):
            kept.append((name, kind if self.nested or _is_flat(kind) else pa.string()))
        taken = {ROW, *(field.name for field in self._own_fields)}
        named = []
        for name, kind in kept:
            while name in taken:
                name = f"input_{name}"
            taken.add(name)
            named.append((name, kind))
        return tuple(named)

    @cached_property
    def _own_fields(self) -> list[pa.Field]:
        """Fields of the answers, then of a failure."""
        import pyarrow as pa

        failure = [pa.field("error", pa.string()), pa.field("error_message", pa.string())]
        return [*self._answer_fields(), *failure]

    def _answer_fields(self) -> list[pa.Field]:
        import pyarrow as pa

        quote = pa.struct([("quote", pa.string()), ("start", pa.int64()), ("end", pa.int64())])
        cut = pa.struct([("start", pa.int64()), ("end", pa.int64())])
        evidence = pa.list_(quote) if self.nested else pa.string()
        truncated = pa.field("truncated", pa.list_(cut) if self.nested else pa.string())
        kinds = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
        scalars = [pa.field(name, kinds[kind]) for name, kind in _SCALARS.items()]
        if self.layout is Layout.TIDY:
            probabilities = pa.map_(pa.string(), pa.float64()) if self.nested else pa.string()
            return [
                pa.field("task", pa.string()),
                pa.field("question", pa.string()),
                *scalars,
                pa.field("probabilities", probabilities),
                pa.field("evidence", evidence),
                truncated,
            ]
        fields = []
        for question in self.questions:
            fields += [one.with_name(f"{question.id}.{one.name}") for one in scalars]
            fields += [
                pa.field(f"{question.id}.p.{label.id}", pa.float64()) for label in question.labels
            ]
            fields.append(pa.field(f"{question.id}.evidence", evidence))
        return [*fields, truncated]

    def _map(self, value: Mapping[str, float]) -> object:
        return list(value.items()) if self.nested else _json(value)

    def _list(self, value: Sequence[Mapping[str, Any]]) -> object:
        return list(value) if self.nested else _json(value)


def _is_flat(kind: pa.DataType) -> bool:
    """Whether a CSV file can hold values of a type."""
    import pyarrow as pa

    is_ = pa.types
    return bool(
        is_.is_integer(kind)
        or is_.is_floating(kind)
        or is_.is_boolean(kind)
        or is_.is_string(kind)
        or is_.is_large_string(kind)
        or is_.is_date(kind)
        or is_.is_timestamp(kind)
    )


def _plain(value: Any, kind: pa.DataType) -> Any:
    """A value as its column takes it; what has no type of its own is JSON in a text."""
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_string(kind) and not isinstance(value, str):
        return _json(value)
    if pa.types.is_float64(kind) and isinstance(value, int):
        return float(value)
    return value


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
