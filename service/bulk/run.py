"""A whole run: files of posts, one request made on each, one result with its summary."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imhi.tasks import WORDING_VERSION, Question
from service.bulk.errors import InputError, OutputError
from service.bulk.formats import RESULTS, STANDARD_INPUT, Format, format_of, spool
from service.bulk.page import to_page
from service.bulk.parts import PART_ROWS, Parts
from service.bulk.pipeline import part_count
from service.bulk.records import Layout, Records
from service.bulk.sources import Source
from service.bulk.summary import Session, Summary, page_path, read_summary, summary_path
from service.bulk.survey import Survey, survey
from service.bulk.tally import Tally
from service.bulk.whole import whole
from service.bulk.writers import write_result
from service.weights import digest

_SESSIONS = "sessions.jsonl"


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done.

    Attributes:
        files: the inputs, `-` for standard input.
        result: the file to make.
        input_format: of all inputs; None goes by their names.
        result_format: None goes by the result's name.
        column: of the texts; None finds it.
        layout: of the answers on one row.
        texts: whether the result holds the texts too.
        request: fields of `POST /analyze` but the text.
        restart: whether to forget what stands in the result's place.
    """

    files: tuple[str, ...]
    result: Path
    input_format: Format | None = None
    result_format: Format | None = None
    column: str | None = None
    layout: Layout = Layout.TIDY
    texts: bool = True
    request: Mapping[str, Any] | None = None
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that has been looked through and is about to begin.

    Attributes:
        job: what is to be done.
        parts: where what is done is kept.
        survey: what is to be analysed.
        kind: the result's format.
    """

    job: Job
    parts: Parts
    survey: Survey
    kind: Format

    def asked(self, model: Mapping[str, Any], questions: Sequence[Question]) -> dict[str, Any]:
        """Everything that the result depends on, as JSON.

        Args:
            model: everything about who answers that an answer depends on.
            questions: what is asked.
        """
        found = self.survey
        return {
            "version": 1,
            "part_rows": PART_ROWS,
            "files": [
                {"name": source.path.name, "format": source.format, "sha256": sha256}
                for source, sha256 in zip(found.sources, found.digests, strict=True)
            ],
            "column": found.column,
            "layout": self.job.layout,
            "format": self.kind,
            "texts": self.job.texts,
            "request": dict(self.job.request or {}),
            "questions": [question.id for question in questions],
            "wording": WORDING_VERSION,
            "model": dict(model),
        }

    def records(self, questions: Sequence[Question]) -> Records:
        """The form of the result."""
        return Records(
            self.job.layout,
            self.survey.column if self.job.texts else None,
            self.survey.carried,
            tuple(questions),
            nested=self.kind is not Format.CSV,
        )

    def finished(self, asked: Mapping[str, Any]) -> Summary | None:
        """The summary of the result, where the same run has already made it.

        Args:
            asked: as `asked` gives it.

        Raises:
            OutputError: another file stands in the result's place.
        """
        result = self.job.result
        if self.parts.begun or self.job.restart or not result.exists():
            return None
        summary = read_summary(result)
        if summary is None or (summary.run, summary.sha256) != (_sha256(asked), digest(result)):
            raise OutputError(
                f"{result.name} is there already. Choose another --output, or replace it with "
                "--restart."
            )
        self.parts.discard()
        return summary

    @property
    def missing(self) -> frozenset[int]:
        """Numbers of the parts that are not kept yet."""
        numbers = range(part_count(self.survey.rows))
        return frozenset(number for number in numbers if not self.parts.done(number))

    def begin(self, asked: Mapping[str, Any]) -> Tally:
        """Begin, or take up what was begun.

        Args:
            asked: as `asked` gives it.

        Returns:
            What was counted over rows that are kept already.

        Raises:
            OutputError: something else was begun in the same place.
        """
        self.parts.begin(asked)
        before = Tally()
        for number in range(part_count(self.survey.rows)):
            if self.parts.done(number):
                before.merge(self.parts.tally(number))
        return before

    def interrupted(self, session: Session) -> None:
        """Keep what one process did, for the summary's speed."""
        path = self.parts.folder / _SESSIONS
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{session.model_dump_json()}\n")

    def finish(
        self, asked: Mapping[str, Any], records: Records, model: str, notice: str
    ) -> Summary:
        """Make the result of the parts, and its summary; then the parts go.

        Args:
            asked: as `asked` gives it.
            records: the form of the result.
            model: the name of who answered.
            notice: that this is no diagnosis.

        Raises:
            InputError: not every row came, since a file has changed meanwhile.
            OutputError: a file cannot be written.
        """
        job, count = self.job, part_count(self.survey.rows)
        tally = Tally()
        for number in range(count):
            if not self.parts.done(number):
                raise InputError("An input file has changed during the run: begin again.")
            tally.merge(self.parts.tally(number))
        write_result(job.result, self.kind, records.schema, self.parts.tables(count))
        summary = Summary(
            result=job.result.name,
            files=[source.path.name for source in self.survey.sources],
            model=model,
            request=dict(job.request or {}),
            tally=tally,
            sessions=self._sessions(),
            notice=notice,
            run=_sha256(asked),
            sha256=digest(job.result),
        )
        with whole(summary_path(job.result)) as part:
            part.write_text(f"{summary.model_dump_json(indent=2)}\n", encoding="utf-8")
        with whole(page_path(job.result)) as part:
            part.write_text(to_page(summary), encoding="utf-8")
        self.parts.discard()
        return summary

    def _sessions(self) -> list[Session]:
        path = self.parts.folder / _SESSIONS
        if not path.is_file():
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
        return [Session.model_validate_json(line) for line in lines]


async def run(
    job: Job, found: Callable[[Survey], None], analysed: Callable[[Prepared], Awaitable[Summary]]
) -> Summary:
    """Do a job.

    Args:
        job: what is to be done.
        found: told what is to be analysed.
        analysed: begins, analyses and finishes what was prepared.

    Returns:
        What it came to.

    Raises:
        ServiceError: a file, an option, or who answers is at fault; what was kept stays.
    """
    kind, parts = _checked(job)
    with parts:
        if job.restart:
            parts.clear()
        looked = survey([_source(name, job, parts) for name in job.files], job.column)
        found(looked)
        _check_space(job.result, looked)
        return await analysed(Prepared(job, parts, looked, kind))


def _checked(job: Job) -> tuple[Format, Parts]:
    """The result's format, and where the run is kept.

    Raises:
        InputError, OutputError: the result cannot be made where it is asked for.
    """
    kind = format_of(job.result, job.result_format, option="--output-format")
    if kind not in RESULTS:
        raise OutputError("A result is Parquet, JSON lines or CSV: choose another --output.")
    if not job.result.parent.is_dir():
        raise OutputError(f"The folder {job.result.parent} does not exist.")
    parts = Parts(job.result)
    if any(Path(name).absolute() == job.result.absolute() for name in job.files):
        raise OutputError("The result cannot be one of the inputs: choose another --output.")
    return kind, parts


def model_facts(model: str) -> dict[str, Any]:
    """What tells one model from another, for `Prepared.asked`.

    Raises:
        ModelError: there is no such model.
    """
    from service.analysis.manifest import MANIFEST_FILE
    from service.models import resolve_model

    directory = Path(resolve_model(model).path)
    manifest = directory / MANIFEST_FILE
    return {
        "path": str(directory),
        "manifest": digest(manifest) if manifest.is_file() else None,
        # Weights take long to read; another model's have other names or sizes.
        "files": {
            one.name: one.stat().st_size
            for one in sorted(directory.glob("*"))
            if one.suffix in (".safetensors", ".bin", ".json")
        },
    }


def policy_facts() -> dict[str, Any]:
    """The deployment's settings that an answer depends on.

    Raises:
        InvalidSettingsError: one of them is wrong.
    """
    from dataclasses import asdict

    from service.settings import load_policy, load_settings

    settings = load_settings()
    policy = load_policy(settings)
    said = json.loads(json.dumps(asdict(policy))) if policy else None
    return {"policy": said, "redact": settings.redact}


def _source(name: str, job: Job, parts: Parts) -> Source:
    path = Path(name)
    kind = format_of(path, job.input_format, option="--input-format")
    if name == STANDARD_INPUT:
        path = parts.input
        spool(path)
    return Source(path, kind)


def _check_space(result: Path, looked: Survey) -> None:
    """Refuse a run that would fill the disk: parts and result hold the inputs twice at least."""
    needed = 2 * sum(source.path.stat().st_size for source in looked.sources)
    free = shutil.disk_usage(result.parent).free
    if needed > free:
        raise OutputError(
            f"The result needs some {needed >> 20:,} MiB or more, and {free >> 20:,} MiB are free "
            f"in {result.parent}."
        )


def _sha256(asked: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
