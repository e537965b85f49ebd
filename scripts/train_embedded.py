"""Trains the embedded model from the IMHI files, step by step, and puts it into `models/`.

Each step is one call of `mentalllama-train`, into its own folder under `--runs`: prepare the data,
fine-tune, prepare the data once more with explanations written by rule, fine-tune a second model on
that, average both, fold what changed into an adapter that fits into the repository, merge that as
the service does, calibrate, measure. The adapter with the calibrated manifest, its card and the
reports then replaces `models/mentalllama-embedded`.

`FOLDER.step` beside each folder holds a digest of what the step is made from: the files of the
data, the recipe, the commands so far. A step that was finished from the same is left out, one that
was begun from the same goes on, and one that was made from anything else begins anew in an empty
folder.

    .venv/bin/python scripts/train_embedded.py --data FOLDER [--dry-run] [FIELD=VALUE]...

The folders under `--runs` hold posts: they are for nobody else and never enter the repository.

Exit codes: 0 done, 2 wrong arguments, 130 interrupted; else that of the step that failed.
"""

import argparse
import hashlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "training" / "recipes" / "embedded-135m.yaml"
NAME = "mentalllama-embedded"
SECOND = (
    "seed=2",
    # Enough of those written by rule, which are alike; less of the set that has most of its own.
    "balance.explanation_shares={CAMS: 0.4, MultiWD: 0.08, IRF: 0.2, DR: 0.3, loneliness: 0.5, "
    "SAD: 0.1}",
)
"""Fields of the recipe that differ in the second training."""

REPORTS = {
    "training/training.json": "training.json",
    "retrained/training.json": "retraining.json",
    "merged/calibration.json": "calibration.json",
    "merged/calibration.md": "calibration.md",
    "evaluation/results.json": "results.json",
    "evaluation/report.md": "report.md",
}
"""Reports of the steps, none of which holds a post, to their names beside the adapter."""


@dataclass(frozen=True)
class Step:
    """One call of `mentalllama-train`.

    Attributes:
        folder: what it writes, named like the step; `calibration` writes the manifest of `merged`
            besides.
        arguments: of `mentalllama-train`.
        inputs: digest of all that it is made from.
    """

    folder: Path
    arguments: tuple[str, ...]
    inputs: str

    @property
    def note(self) -> Path:
        """Where it is written down what the folder was made from."""
        return self.folder.with_suffix(".step")

    @property
    def state(self) -> str:
        """`new`, `begun` or `done`; `stale` where it was begun from something else."""
        if not self.note.is_file():
            return "new"
        inputs, _, done = self.note.read_text(encoding="utf-8").partition(" ")
        if inputs != self.inputs:
            return "stale"
        return "done" if done and self.folder.exists() else "begun"


def plan(data: Path, runs: Path, overrides: Sequence[str]) -> list[Step]:
    """The steps in their order, each with the digest of what it and all before it are made from.

    Args:
        data: the folder of the IMHI files.
        runs: the folder for everything that is written.
        overrides: fields of the recipe, as `mentalllama-train sft` takes them.
    """

    def at(name: str) -> str:
        return str(runs / name)

    prepare = ("data", "prepare", str(data), "--force", "--output")
    commands = {
        "data": (*prepare, at("data")),
        "training": (
            *("sft", RECIPE.stem, f"data.path={at('data')}", f"output={at('training')}"),
            *overrides,
        ),
        "explained": (*prepare, at("explained"), "--write-explanations"),
        "retrained": (
            *("sft", RECIPE.stem, f"data.path={at('explained')}", f"output={at('retrained')}"),
            *(*overrides, *SECOND),
        ),
        "averaged": (
            *("average", at("training/model"), at("retrained/model")),
            *("--output", at("averaged"), "--replace"),
        ),
        "adapter": (
            *("export", at("averaged"), "--output", at("adapter"), "--replace"),
            *("--max-megabytes", "40", "--factors", "float8", "--base", "embedded-base"),
            # The adapter is measured whole in the last step, after it was calibrated anew; here it
            # is only kept from being a broken one.
            *("--data", at("data"), "--name", NAME, "--max-changed", "0.05"),
        ),
        "merged": (
            *("export", at("adapter"), "--output", at("merged"), "--replace"),
            *("--base", "embedded-base"),
        ),
        "calibration": (
            "calibrate",
            at("merged"),
            "--data",
            at("data"),
            "--run",
            at("calibration"),
        ),
        "evaluation": (
            *("evaluate", at("merged"), "--data", at("data"), "--output", at("evaluation")),
            # Made before the calibration, which they bear.
            *("--reads-from", at("calibration")),
        ),
    }
    files = ((path, path.stat()) for path in sorted(data.rglob("*")) if path.is_file())
    listing = [f"{path.relative_to(data)} {s.st_size} {s.st_mtime_ns}" for path, s in files]
    inputs = _digest([*listing, RECIPE.read_text(encoding="utf-8")])
    steps = []
    for name, arguments in commands.items():
        # Where the folders are changes nothing of what is in them.
        inputs = _digest([inputs, *(one.replace(str(runs), "RUNS") for one in arguments)])
        steps.append(Step(runs / name, arguments, inputs))
    return steps


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def run(steps: Sequence[Step], trainer: Sequence[str]) -> int:
    """Run the steps that are not done, in order; each shows its own progress.

    Args:
        steps: from `plan`.
        trainer: the command line of `mentalllama-train` without arguments.

    Returns:
        The exit code of the first step that failed; those after it were not begun. Otherwise 0.
    """
    for number, step in enumerate(steps, 1):
        state = step.state
        _say(f"[{number}/{len(steps)}] {state}: mentalllama-train {shlex.join(step.arguments)}")
        if state == "done":
            continue
        if state == "stale":
            shutil.rmtree(step.folder, ignore_errors=True)
        step.note.parent.mkdir(parents=True, exist_ok=True)
        step.note.write_text(step.inputs, encoding="utf-8")
        if code := subprocess.call([*trainer, *step.arguments], cwd=ROOT):
            return code
        step.note.write_text(f"{step.inputs} done", encoding="utf-8")
    return 0


def install(runs: Path, target: Path) -> None:
    """Put adapter, calibrated manifest, card and reports in place of what is in `target`.

    Raises:
        training.errors.TrainingError, service.errors.ServiceError: a file is missing or cannot be
            written.
    """
    from service.adapter import CONFIG_FILE, WEIGHTS_FILE, Adapter
    from service.analysis.manifest import load_manifest, write_manifest
    from training.errors import ModelFilesError
    from training.export.card import write_card
    from training.export.files import copy_papers, new_directory, seal

    manifest = load_manifest(runs / "merged")
    if manifest is None:
        raise ModelFilesError(f"{runs / 'merged'} has no manifest: export and calibrate it first.")
    with new_directory(target) as part:
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            shutil.copy(runs / "adapter" / name, part)
        copy_papers([runs / "adapter"], part)
        for report, name in REPORTS.items():
            if (runs / report).is_file():
                shutil.copy(runs / report, part / name)
        named = manifest.model_copy(update={"name": NAME})
        write_manifest(part, named)
        write_card(part, named)
        seal(part)
        Adapter.load(part)


def _say(line: str) -> None:
    # Flushed, so that our lines and those of the steps come out in order.
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None, trainer: Sequence[str] | None = None) -> int:
    """Read the command line, train, install, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="make train-embedded", description="Train the embedded model from the IMHI files."
    )
    parser.add_argument("--data", type=Path, help="the folder of the IMHI files (DATA=folder)")
    parser.add_argument(
        "--runs",
        type=Path,
        default=ROOT / "runs" / "embedded",
        help="folder for all that is written, posts included; runs/embedded by default",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the steps and their states")
    parser.add_argument(
        "overrides", nargs="*", metavar="FIELD=VALUE", help="fields of the recipe to change"
    )
    options = parser.parse_args(arguments)
    if options.data is None or not options.data.is_dir():
        parser.error("name the folder of the IMHI files: make train-embedded DATA=folder")
    if wrong := [text for text in options.overrides if "=" not in text]:
        parser.error(f"{wrong[0]!r} is not FIELD=VALUE, as in optimisation.epochs=1")
    runs = options.runs.absolute()
    steps = plan(options.data.resolve(), runs, options.overrides)
    if options.dry_run:
        for step in steps:
            print(f"{step.state:5}  mentalllama-train {shlex.join(step.arguments)}")
        return 0
    try:
        code = run(steps, trainer or (sys.executable, "-m", "training.cli.main"))
    except KeyboardInterrupt:
        code = 130
    if code:
        _say(f"Stopped with exit code {code}. The same command goes on from here.")
        return code
    install(runs, ROOT / "models" / NAME)
    _say(f"models/{NAME} is trained, calibrated and measured; `make serve` builds and serves it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
