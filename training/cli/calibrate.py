"""`mentalllama-train calibrate`: temperature and bias by question, into a model's manifest.

The label reads come from the folder of a benchmark run, or such a run is made first, without
explanations; what is fitted and how it is chosen is `training.calibrate`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.terminal import notice, output, print_json
from service.models import EMBEDDED_MODELS
from training.calibrate.options import Criterion, Policy
from training.cli.failures import failures_reported
from training.data.example import Split
from training.errors import ModelFilesError, UsageError

if TYPE_CHECKING:
    from service.analysis.manifest import Manifest
    from training.calibrate.report import CalibrationReport

_FOLDER = Path("runs/calibrate")
_READS = "Where the label reads come from"
_FIT = "How numbers are fitted"
_POLICY = "The decision policy"


def calibrate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="The model: a directory, `embedded`, or an id on a hub."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Prepared data, to read labels on now.", rich_help_panel=_READS
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of a finished `mentalllama-train evaluate` of this model; nothing is "
            "loaded then.",
            rich_help_panel=_READS,
        ),
    ] = None,
    split: Annotated[
        Split, typer.Option(help="The split to calibrate on.", rich_help_panel=_READS)
    ] = Split.VAL,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="DIR",
            help=f"Folder for the reads of --data; {_FOLDER}/NAME by default. An interrupted run "
            "there is gone on with.",
            rich_help_panel=_READS,
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Throw away the reads of an earlier run.", rich_help_panel=_READS
        ),
    ] = False,
    write_to: Annotated[
        Path | None,
        typer.Option(
            "--write-to",
            metavar="DIR",
            help="Directory whose manifest is written; MODEL by default. For `embedded`: the "
            "directory of its adapter.",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, help="Parts the posts are dealt into.", rich_help_panel=_FIT)
    ] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the folds.", rich_help_panel=_FIT)] = 0,
    min_rows: Annotated[
        int,
        typer.Option(
            min=1,
            help="A question with fewer rows is left as it is, unless it is fitted together with "
            "others of its task.",
            rich_help_panel=_FIT,
        ),
    ] = 50,
    criterion: Annotated[
        Criterion,
        typer.Option(
            help="What of held-out folds decides between no change, a temperature, and a "
            "temperature with biases: their likelihood, or, of those that improve it, weighted F1.",
            rich_help_panel=_FIT,
        ),
    ] = Criterion.LIKELIHOOD,
    policy: Annotated[
        Policy,
        typer.Option(
            help="What of the recommended values is written into the manifest's policy.",
            rich_help_panel=_POLICY,
        ),
    ] = Policy.NONE,
    target_accuracy: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="What the rows that are not abstained from should reach.",
            rich_help_panel=_POLICY,
        ),
    ] = 0.9,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the report and write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print calibration.json.")] = False,
) -> None:
    """Fit a temperature and biases by question, kept where they improve held-out posts.

    Writes them into the model's manifest, and calibration.json and calibration.md beside it.

    For example:

        mentalllama-train calibrate runs/model --data prepared

        mentalllama-train calibrate embedded --records runs/evaluate --write-to models/my-adapter
    """
    with failures_reported():
        from service.models import local_manifest
        from training.calibrate.report import markdown
        from training.calibrate.run import (
            PolicySettings,
            check_wording,
            write,
        )
        from training.calibrate.run import calibrate as fit
        from training.calibrate.select import Settings
        from training.evaluate.store import load_records

        if (data is None) == (records is None):
            raise UsageError("Give either --data or --records.")
        directory = _directory(model, write_to)
        manifest = local_manifest(directory)
        check_wording(manifest)
        if records is None and data is not None:
            records = run_folder or _FOLDER / manifest.name.replace("/", "-")
            _read(model, data, records, split, restart=restart)
        elif records is not None:
            _check_run(records, manifest)
        assert records is not None
        changed, report = fit(
            manifest,
            load_records(records),
            split=split.value,
            settings=Settings(folds=folds, seed=seed, min_rows=min_rows, criterion=criterion),
            policy=PolicySettings(policy, target_accuracy=target_accuracy),
        )
        if as_json:
            print_json(report.model_dump(mode="json"))
        else:
            output().print(markdown(report), soft_wrap=True)
        _say(report, manifest)
        if dry_run:
            notice("Nothing was written (--dry-run).")
            return
        write(directory, changed, report)
        notice(f"Written: the manifest and calibration.md in {directory}.")


def _directory(model: str, write_to: Path | None) -> Path:
    """Directory whose manifest is written."""
    directory = write_to or Path(model)
    if write_to is None and (model in EMBEDDED_MODELS or not directory.is_dir()):
        raise UsageError(
            f"Say with --write-to whose manifest is to be written: {model!r} is no directory."
        )
    if not directory.is_dir():
        raise UsageError(f"{directory} is no directory: give --write-to one that holds weights.")
    return directory


def _read(model: str, data: Path, folder: Path, split: Split, *, restart: bool) -> None:
    """Read every row's labels, through the service's own analysis."""
    from training.evaluate.benchmark import Benchmark
    from training.evaluate.progress import shown_progress
    from training.evaluate.run import run

    benchmark = Benchmark(
        model=model,
        data=data,
        output=folder,
        split=split,
        explained=0,
        free_form=0,
        resamples=0,
        sample_page=False,
        restart=restart,
    )
    with shown_progress() as progress:
        run(benchmark, progress=progress, announce=notice)


def _check_run(folder: Path, manifest: Manifest) -> None:
    """See that a run is whole and of this model.

    Raises:
        DataError: it has no results.
        ModelFilesError: it is of another model, or of another wording.
    """
    from training.evaluate.results import load_results

    measured = load_results(folder).model
    if measured.name != manifest.name:
        raise ModelFilesError(
            f"{folder} holds the reads of {measured.name!r}, not of {manifest.name!r}: give the "
            "run of this model, or --data."
        )
    if measured.wording_version not in (None, manifest.wording_version):
        raise ModelFilesError(
            f"{folder} was read in the wording {measured.wording_version!r}, not in "
            f"{manifest.wording_version!r}: evaluate the model again."
        )


def _say(report: CalibrationReport, manifest: Manifest) -> None:
    """Say on standard error what a person might overlook."""
    if report.without_rows:
        notice(f"No rows, left as they were: {', '.join(report.without_rows)}.")
    if manifest.results:
        notice(
            f"{len(manifest.results)} earlier results in the manifest were measured with another "
            "calibration and are left out; run `mentalllama-train evaluate` again."
        )
