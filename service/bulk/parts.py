"""What is done of a run, in a folder beside its result: so it can be interrupted at any moment.

    RESULT.partial/run.json              what was asked, of which files
    RESULT.partial/part-00000012.arrow   the records of 128 rows, with their counts
    RESULT.partial/input                 standard input, where that is what is analysed
    RESULT.partial/finished              there when the result and its summary are whole

A part appears under its name when it is whole and on the disk. The result is made of the parts in
their order, appears in one step too, and then the folder goes. Whatever a process was killed at,
the same command finds what is whole and does the rest.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from service.bulk.errors import OutputError
from service.bulk.tally import Tally
from service.bulk.whole import unwritable, whole

if TYPE_CHECKING:
    import pyarrow as pa

PART_ROWS = 128
"""Rows of a part: what a killed run has to do again, at most, of each part that was begun."""

_RUN, _FINISHED = "run.json", "finished"
_TALLY = b"mentalllama.tally"


class Parts:
    """The folder of a run; used as a context, by one process at a time.

    Args:
        result: the file that the run is to make.
    """

    def __init__(self, result: Path) -> None:
        self.folder = result.with_name(f"{result.name}.partial")
        self._result = result
        self._lock: IO[str] | None = None

    @property
    def input(self) -> Path:
        """Where standard input is kept."""
        return self.folder / "input"

    def __enter__(self) -> Self:
        """Make the folder and lock it.

        Raises:
            OutputError: it cannot be made, or another process works in it.
        """
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self._lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise unwritable(self.folder, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise OutputError(f"Another process is writing {self._result.name}.") from None
        if (self.folder / _FINISHED).exists():
            self.clear()  # a run that was killed when only this was left to do
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
        # A run that failed before it did anything leaves nothing behind.
        if self.folder.is_dir() and not self.begun:
            self.discard()

    def begin(self, run: Mapping[str, Any]) -> bool:
        """Say what is asked, or find that the same was begun before.

        Args:
            run: everything that the result depends on, as JSON.

        Returns:
            Whether it was begun before.

        Raises:
            OutputError: something else was begun here, or the folder cannot be written.
        """
        path = self.folder / _RUN
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            with whole(path) as part:
                part.write_text(json.dumps(run, indent=2), encoding="utf-8")
            return False
        except (OSError, ValueError) as error:
            raise OutputError(f"{path} is damaged: begin anew with --restart.") from error
        if known != json.loads(json.dumps(run)):
            different = sorted(name for name in {*known, *run} if known.get(name) != run.get(name))
            raise OutputError(
                f"{self.folder.name} holds an unfinished run of something else (other: "
                f"{', '.join(different)}). Finish that with its own options, choose another "
                "--output, or begin anew with --restart."
            )
        return True

    @property
    def begun(self) -> bool:
        """Whether a run was begun here and is not finished."""
        return (self.folder / _RUN).exists() and not (self.folder / _FINISHED).exists()

    def done(self, number: int) -> bool:
        """Whether a part is whole."""
        return self._part(number).is_file()

    def write(
        self, number: int, records: Sequence[Mapping[str, Any]], schema: Any, tally: Tally
    ) -> None:
        """Keep a part.

        Args:
            number: its place.
            records: its rows' records, in order.
            schema: the result's.
            tally: what was counted over its rows.

        Raises:
            OutputError: it cannot be written.
        """
        import pyarrow as pa

        said = {_TALLY: tally.model_dump_json().encode()}
        table = pa.Table.from_pylist(list(records), schema.with_metadata(said))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        with whole(self._part(number)) as part:
            part.write_bytes(sink.getvalue())

    def tally(self, number: int) -> Tally:
        """What was counted over a whole part's rows."""
        import pyarrow as pa

        with pa.memory_map(str(self._part(number))) as file:
            metadata = pa.ipc.open_file(file).schema.metadata
        return Tally.model_validate_json(metadata[_TALLY])

    def tables(self, number_of_parts: int) -> Iterator[pa.Table]:
        """The records of all parts, in order."""
        import pyarrow as pa

        for number in range(number_of_parts):
            with self._part(number).open("rb") as file:
                yield pa.ipc.open_file(file).read_all().replace_schema_metadata(None)

    def discard(self) -> None:
        """Remove the folder and all that is in it; what is killed meanwhile is removed later."""
        (self.folder / _FINISHED).touch()
        self.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self) -> None:
        """Begin anew: forget every part and what was asked."""
        kept = {"lock", _FINISHED}
        for path in self.folder.iterdir():
            if path.name not in kept:
                path.unlink()
        (self.folder / _FINISHED).unlink(missing_ok=True)

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:08}.arrow"
