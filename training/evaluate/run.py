"""A benchmark run from a model's name and data to reports in a folder.

Data is read and rows are chosen; the model is asked what the journal of an earlier, interrupted run
does not hold; records are made of it all; metrics and reports are made of the records. In the
run's folder:

    answers.jsonl                   the journal: what the model answered, as it came
    samples.jsonl samples.html      every sample with all that the model said on it
    released/                       the same in the layout that the paper's own scorers read
    results.json report.md report.html

Samples hold posts, and only their owner may read them. Reports hold none.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from service.analysis.analyzer import Analyzer
from service.analysis.manifest import Manifest
from service.errors import EngineError, ServiceError
from service.launch import has_option
from service.local import open_analyzer
from service.models import Announce, ResolvedModel, local_manifest, resolve_model
from training.errors import DataError, ModelFilesError, UsageError
from training.evaluate.answers import Decoding
from training.evaluate.baselines import baselines
from training.evaluate.benchmark import Adapter, Benchmark
from training.evaluate.explanations import measure
from training.evaluate.fingerprint import (
    engine_version,
    environment,
    examples_digest,
    files_digest,
    model_settings,
)
from training.evaluate.journal import open_journal
from training.evaluate.records import Record
from training.evaluate.released_layout import write_released_layout
from training.evaluate.reports import write_reports
from training.evaluate.results import BootstrapSettings, DataSummary, ModelSummary, Results
from training.evaluate.reuse import take_reads
from training.evaluate.runner import Progress, ask_all, is_complete
from training.evaluate.sample_page import write_sample_page
from training.evaluate.samples import records_of
from training.evaluate.selection import Selection, select
from training.evaluate.source import Source, load_source
from training.evaluate.store import write_records
from training.evaluate.summary import summarise

RELEASED_FOLDER = "released"

_LORA_RANKS = (16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for --max-lora-rank, from its default on."""


class OpenModel(Protocol):
    """Loads a model; `service.local.open_analyzer` is one."""

    def __call__(
        self,
        model: ResolvedModel,
        options: Sequence[str],
        *,
        adapters: Mapping[str, Path] | None,
    ) -> AbstractAsyncContextManager[Analyzer]:
        """Give a warm Analyzer for as long as the block runs."""
        ...


@dataclass(frozen=True, slots=True)
class _Answers:
    """What a model said, as records."""

    records: tuple[Record, ...]
    manifest: Manifest
    model: Mapping[str, str]
    environment: Mapping[str, str]
    failed: int


def run(
    benchmark: Benchmark,
    *,
    progress: Progress,
    announce: Announce,
    open_model: OpenModel = open_analyzer,
) -> Results:
    """Measure a model and write everything into the run's folder.

    Interrupted, it leaves what it has; run again it goes on from there.

    Args:
        benchmark: what to measure.
        progress: told how far each way is.
        announce: takes lines for a person who waits.
        open_model: loads the model.

    Raises:
        UsageError: an option that does not fit, or a folder with another run's answers.
        DataError: data that is missing or cannot be read or written.
        ServiceError: the model cannot be loaded, or its engine is gone.
    """
    source = load_source(benchmark.data, benchmark.split, benchmark.seen_in)
    selection = select(
        source.examples,
        sets=benchmark.sets,
        limit=benchmark.limit,
        explained=benchmark.explained,
        free_form=benchmark.free_form,
        seed=benchmark.seed,
    )
    if benchmark.adapter:
        _check_adapter(benchmark.adapter)
    resolved = resolve_model(benchmark.model, announce=announce)
    _make(benchmark.output)
    opening = _Opening(benchmark, resolved, open_model, announce)
    answers = asyncio.run(_answer(benchmark, opening, source, selection, progress))
    if answers.failed:
        announce(
            f"The engine failed {answers.failed} times: so many answers are missing, and a row "
            "without a label counts as wrong. Run the same command again to ask for them."
        )
    announce("Measuring …")
    return _report(benchmark, source, selection, answers)


def _make(folder: Path) -> None:
    """Make the run's folder, one that git passes over: it will hold posts."""
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror}.") from error
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file: give --output a folder.")


class _Opening:
    """The model of a run before it is loaded."""

    def __init__(
        self,
        benchmark: Benchmark,
        resolved: ResolvedModel,
        open_model: OpenModel,
        announce: Announce,
    ) -> None:
        self.resolved = resolved
        self._benchmark = benchmark
        self._open_model = open_model
        self._announce = announce
        directory = Path(resolved.path)
        # Of a model on a hub neither files nor manifest are known before it is loaded.
        self.manifest = local_manifest(directory) if directory.is_dir() else None

    async def load(self, stack: AsyncExitStack) -> Analyzer:
        """Load the model; it stays until the stack is left."""
        self._announce(f"Loading {self.resolved.name} …")
        adapter, options = self._benchmark.adapter, self._benchmark.engine_options
        if adapter and not has_option(options, "--max-lora-rank"):
            options = (*options, "--max-lora-rank", str(_room_for(adapter)))
        adapters = {adapter.name: adapter.directory} if adapter else None
        return await stack.enter_async_context(
            self._open_model(self.resolved, options, adapters=adapters)
        )


async def _answer(
    benchmark: Benchmark,
    opening: _Opening,
    source: Source,
    selection: Selection,
    progress: Progress,
) -> _Answers:
    """Ask the model what the journal does not hold; leave the samples in the folder either way."""
    async with AsyncExitStack() as stack:
        try:
            analyzer, manifest = None, opening.manifest
            if manifest is None:
                analyzer = await opening.load(stack)
                manifest = analyzer.manifest
            model = model_settings(opening.resolved, manifest)
            settings = {**model, **_settings(benchmark, source)}
            journal = stack.enter_context(
                open_journal(benchmark.output, settings, restart=benchmark.restart)
            )
            failed = 0
            if benchmark.reads_from is not None:
                take_reads(benchmark.reads_from, journal, selection, manifest.to_calibration())
            try:
                if not is_complete(selection, journal):
                    analyzer = analyzer or await opening.load(stack)
                    journal.begin(environment())
                    decoding = _decoding(benchmark)
                    failed = await ask_all(
                        analyzer, selection, journal, decoding, progress, benchmark.concurrency
                    )
            finally:
                records = records_of(selection, source, journal)
                write_records(benchmark.output, records)
        except ServiceError:
            # Ctrl-C reaches the engine's own processes too, and they may be gone first.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from None
            raise
        if failed:
            records = tuple(
                replace(record, error=EngineError.code)
                if record.read is None and record.error is None
                else record
                for record in records
            )
            write_records(benchmark.output, records)
        return _Answers(records, manifest, model, journal.environment, failed)


def _decoding(benchmark: Benchmark) -> Decoding:
    adapter = benchmark.adapter
    return replace(benchmark.decoding, adapter=adapter.name if adapter else None)


def _settings(benchmark: Benchmark, source: Source) -> dict[str, str]:
    """What answers depend on beside the model."""
    adapter = benchmark.adapter
    return {
        "adapter": files_digest(adapter.directory) if adapter else "none",
        "split": benchmark.split.value,
        "data": examples_digest(source.examples),
        **benchmark.decoding_options(),
        "engine": engine_version(),
    }


def _check_adapter(adapter: Adapter) -> None:
    """Raise `ModelFilesError` where there is no adapter, or one whose weights may hold programs."""
    _room_for(adapter)
    if not (adapter.directory / "adapter_model.safetensors").is_file():
        raise ModelFilesError(
            f"{adapter.directory} has no adapter_model.safetensors: only such weights are loaded."
        )


def _room_for(adapter: Adapter) -> int:
    """What vLLM is given for --max-lora-rank."""
    try:
        text = (adapter.directory / "adapter_config.json").read_text(encoding="utf-8")
        rank = int(json.loads(text)["r"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelFilesError(
            f"{adapter.directory} is no LoRA adapter as PEFT writes them: it has no "
            "adapter_config.json with a rank."
        ) from None
    return next((one for one in _LORA_RANKS if one >= rank), rank)


def _report(
    benchmark: Benchmark, source: Source, selection: Selection, answers: _Answers
) -> Results:
    """Make and write everything that is made of records."""
    records = answers.records
    bootstrap = BootstrapSettings(resamples=benchmark.resamples, seed=benchmark.seed)
    explanations = None
    if any(record.explained or record.free_form for record in records):
        explanations = measure(
            records,
            bertscore=benchmark.bertscore,
            bartscore=benchmark.bartscore,
            bootstrap=bootstrap,
        )
    sets = {example.set for example in selection.examples}
    available = sum(example.set in sets for example in source.examples)
    results = summarise(
        records,
        model=_model_summary(benchmark, answers),
        data=DataSummary(
            name=source.name,
            checksum=examples_digest(selection.examples),
            sampled=len(selection.examples) < available,
            seen_in=source.seen_in,
        ),
        split=benchmark.split.value,
        command=benchmark.command(),
        environment=answers.environment,
        options={**benchmark.options(), **_counts(records)},
        baselines=baselines(selection.examples, source.train),
        explanations=explanations,
        bootstrap=bootstrap,
    )
    write_reports(benchmark.output, results)
    write_released_layout(records, benchmark.output / RELEASED_FOLDER)
    if benchmark.sample_page:
        write_sample_page(benchmark.output, records, model=results.model.name)
    return results


def _counts(records: Sequence[Record]) -> dict[str, str]:
    """What a reader must know of rows that the model did not see whole, or could not be asked."""
    cut = sum(record.cut > 0 for record in records)
    return {
        "rows with a part cut out": str(cut),
        "rows that could not be asked": str(sum(record.error is not None for record in records)),
    }


def _model_summary(benchmark: Benchmark, answers: _Answers) -> ModelSummary:
    manifest = answers.manifest
    adapter = benchmark.adapter
    identity = json.dumps(
        [sorted(answers.model.items()), adapter and files_digest(adapter.directory)]
    )
    return ModelSummary(
        name=f"{manifest.name} with {adapter.name}" if adapter else manifest.name,
        base_model=manifest.base_model,
        prompt_style=manifest.prompt_style.value,
        wording_version=manifest.wording_version,
        calibrated_questions=tuple(sorted(manifest.calibration)),
        recipe=manifest.training.recipe if manifest.training else None,
        licence=manifest.licence,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
    )
