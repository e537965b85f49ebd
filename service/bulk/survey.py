"""A first look at what is to be analysed: how many rows, which column, what stands beside it.

Every row is seen once before any is analysed, so that a broken file is refused before hours of
work and progress has an end. It takes seconds for a million rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.bulk.errors import InputError
from service.bulk.formats import Format, unreadable
from service.bulk.sources import Row, Source
from service.weights import digest

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_NAMES = ("text", "post", "content", "body", "selftext", "message", "tweet", "comment")
"""Names by which a column of texts is found, the first that is there."""

_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class Survey:
    """What is to be analysed.

    Attributes:
        sources: the files, in order.
        column: of the texts.
        rows: how many rows all files have.
        carried: the other columns and their Arrow types, in the order of the files.
        digests: SHA-256 of each file's bytes.
    """

    sources: tuple[Source, ...]
    column: str
    rows: int
    carried: pa.Schema
    digests: tuple[str, ...]

    def all_rows(self) -> Iterator[Row]:
        """Every row of every file, in order.

        Raises:
            InputError: a file cannot be read any more.
        """
        for source in self.sources:
            yield from source.rows(self.column)


def survey(sources: Sequence[Source], column: str | None) -> Survey:
    """Look through the files.

    Args:
        sources: the files.
        column: the one with the texts, or None to find it.

    Raises:
        InputError: a file cannot be read, or the column of the texts is not known.
    """
    import pyarrow as pa

    chosen = _column(sources, column)
    rows, schemas = 0, []
    for source in sources:
        kinds = _Kinds()
        count = 0
        for row in source.rows(chosen):
            count += 1
            if source.format is not Format.PARQUET:
                kinds.see(row.columns)
        rows += count
        schemas.append(_schema(source, chosen, kinds))
    if not rows:
        raise InputError("There is no row to analyse.")
    try:
        carried = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException:  # one name, and types that have nothing in common
        names = dict.fromkeys(name for schema in schemas for name in schema.names)
        carried = pa.schema([(name, pa.string()) for name in names])
    return Survey(tuple(sources), chosen, rows, carried, tuple(map(_digest, sources)))


class _Kinds:
    """The Arrow types that hold what stands in columns of text files."""

    def __init__(self) -> None:
        self._seen: dict[str, set[type]] = {}

    def see(self, columns: Any) -> None:
        for name, value in columns.items():
            huge = isinstance(value, int) and not -(2**63) <= value < 2**63
            self._seen.setdefault(name, set()).add(str if huge else type(value))

    def schema(self) -> pa.Schema:
        import pyarrow as pa

        types = {
            frozenset([int]): pa.int64(),
            frozenset([float]): pa.float64(),
            frozenset([int, float]): pa.float64(),
            frozenset([bool]): pa.bool_(),
        }
        return pa.schema(
            [
                (name, types.get(frozenset(seen - {type(None)}), pa.string()))
                for name, seen in self._seen.items()
            ]
        )


def _schema(source: Source, column: str, kinds: _Kinds) -> pa.Schema:
    if source.format is not Format.PARQUET:
        return kinds.schema()
    schema = source.schema()
    return schema.remove(schema.get_field_index(column)).remove_metadata()


def _column(sources: Sequence[Source], said: str | None) -> str:
    """The column of the texts, which every file has.

    Raises:
        InputError: there is none, or it is not known which.
    """
    headers = [source.columns() for source in sources]
    if said is None:
        first = {name.casefold(): name for name in reversed(headers[0])}
        said = next((first[name] for name in TEXT_NAMES if name in first), None)
        if said is None and len(headers[0]) == 1:
            said = headers[0][0]
        if said is None:
            raise InputError(
                f"{sources[0].path.name}: which column holds the texts? Name it with --column; "
                f"there are: {_names(headers[0])}."
            )
    for source, header in zip(sources, headers, strict=True):
        if said not in header:
            raise InputError(
                f"{source.path.name} has no such column of texts. Name it with --column; there "
                f"are: {_names(header) or 'none'}."
            )
        if source.format is Format.PARQUET and not _is_text(source.schema().field(said).type):
            raise InputError(f"{source.path.name}: the column of the texts holds no text.")
    return said


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _names(header: Sequence[str]) -> str:
    """Names for an error: what stands where a header should be may be a post."""
    return ", ".join(
        name if len(name) <= _LONGEST_NAME and len(name.split()) < 4 else f"(column {place})"
        for place, name in enumerate(header, 1)
    )


def _digest(source: Source) -> str:
    try:
        return digest(source.path)
    except OSError as error:
        raise unreadable(source.path, error) from error
