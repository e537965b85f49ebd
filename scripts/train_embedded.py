"""Trains the embedded model from the IMHI files, step by step, and puts it into `models/`.

Each step is one call of `mentalllama-train`, into its own folder under `--runs`, and each of those
goes on where it was stopped: prepare the data, fine-tune in full, prepare the data once more with
explanations written by rule, fine-tune a second model on that, take the mean of both, fold what
changed into an adapter that fits into the repository, merge that as the service does, calibrate,
measure. The adapter with the calibrated manifest, its card and the reports then replaces
`models/mentalllama-embedded`.

Beside each folder lies a note of what the step was made from: the files of the data, the recipe,
the commands so far. A step is left out when its note says that it was finished from the same, goes
on when it was begun from the same, and begins anew, its folder emptied, when anything differs.

    .venv/bin/python scripts/train_embedded.py --data FOLDER [--dry-run] [FIELD=VALUE]...

The folders under `--runs` hold posts: they are for nobody else and never enter the repository.

Exit codes: 0 done, 2 wrong arguments, 3 the data is not there, 130 interrupted; else that of the
step that failed.
"""

import argparse
import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "training" / "recipes" / "embedded-135m.yaml"
NAME = "mentalllama-embedded"
MEGABYTES = 40
MAX_CHANGED = 0.05
SECOND = (
    "seed=2",
    # Enough of those written by rule, which are alike; less of the set that has most of its own.
    "balance.explanation_shares={CAMS: 0.4, MultiWD: 0.08, IRF: 0.2, DR: 0.3, loneliness: 0.5, "
    "SAD: 0.1}",
)
"""Fields of the recipe that differ in the second training."""

TRAININGS = {"training": "training.json", "retrained": "retraining.json"}
"""Folder of a training to the name that its report goes by beside the other's."""
REPORTS = ("calibration.json", "calibration.md", "results.json", "report.md")
"""What of the steps' folders goes along with the adapter, where it is there; none holds a post."""


class FailedStepError(Exception):
    """A step ended with an error of its own, which it has printed."""

    def __init__(self, step: str, code: int) -> None:
        super().__init__(f"the step `{step}` ended with exit code {code}")
        self.code = code


@dataclass(frozen=True)
class Step:
    """One call of `mentalllama-train`.

    Attributes:
        name: of the step, its folder and its note.
        what: the step in words.
        arguments: of `mentalllama-train`.
        folder: what it writes; `calibration` writes the manifest of `merged` besides.
        inputs: digest of all that it is made from.
    """

    name: str
    what: str
    arguments: tuple[str, ...]
    folder: Path
    inputs: str = ""

    @property
    def note(self) -> Path:
        """Where it is written down what the folder was made from."""
        return self.folder.with_name(f"{self.folder.name}.step.json")

    @property
    def state(self) -> str:
        """`new`, `begun` or `done`; `stale` where it was begun from something else."""
        try:
            said = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return "new"
        if said.get("inputs") != self.inputs:
            return "stale"
        return "done" if said.get("done") is True and self.folder.exists() else "begun"

    def write_note(self, *, done: bool) -> None:
        """Write down that the step is begun, or done."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        note = {"step": self.name, "inputs": self.inputs, "done": done}
        self.note.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


def plan(data: Path, runs: Path, overrides: Sequence[str]) -> list[Step]:
    """The steps in their order, each with the digest of what it and all before it are made from.

    Args:
        data: the folder of the IMHI files.
        runs: the folder for everything that is written.
        overrides: fields of the recipe, as `mentalllama-train sft` takes them.
    """
    prepared, trained, adapter = runs / "data", runs / "training", runs / "adapter"
    explained, retrained, averaged = runs / "explained", runs / "retrained", runs / "averaged"
    merged, reads, measured = runs / "merged", runs / "calibration", runs / "evaluation"
    base = ("--base", "embedded-base")
    steps = [
        Step(
            "data",
            "prepare the data",
            ("data", "prepare", str(data), "--output", str(prepared), "--force"),
            prepared,
        ),
        Step(
            "training",
            "fine-tune",
            ("sft", RECIPE.stem, f"data.path={prepared}", f"output={trained}", *overrides),
            trained,
        ),
        Step(
            "explained",
            "prepare the data with explanations written by rule",
            (
                *("data", "prepare", str(data), "--write-explanations"),
                *("--output", str(explained), "--force"),
            ),
            explained,
        ),
        Step(
            "retrained",
            "fine-tune once more, with these explanations",
            (
                *("sft", RECIPE.stem, f"data.path={explained}", f"output={retrained}"),
                *(*overrides, *SECOND),
            ),
            retrained,
        ),
        Step(
            "averaged",
            "take the mean of both models",
            (
                *("average", str(trained / "model"), str(retrained / "model")),
                *("--output", str(averaged), "--replace"),
            ),
            averaged,
        ),
        Step(
            "adapter",
            f"fold what changed into an adapter of at most {MEGABYTES} MB",
            (
                *("export", str(averaged), "--output", str(adapter), "--replace"),
                *("--max-megabytes", str(MEGABYTES), "--factors", "float8"),
                *(*base, "--data", str(prepared)),
                # The fold is measured whole in the last step, after it was calibrated anew; here it
                # is only kept from being a broken one.
                *("--name", NAME, "--max-changed", str(MAX_CHANGED)),
            ),
            adapter,
        ),
        Step(
            "merged",
            "merge the adapter, as the service does",
            ("export", str(adapter), "--output", str(merged), "--replace", *base),
            merged,
        ),
        Step(
            "calibration",
            "calibrate",
            ("calibrate", str(merged), "--data", str(prepared), "--run", str(reads)),
            reads,
        ),
        Step(
            "evaluation",
            "measure",
            (
                *("evaluate", str(merged), "--data", str(prepared), "--output", str(measured)),
                *("--reads-from", str(reads)),  # made before the calibration, which they bear
            ),
            measured,
        ),
    ]
    inputs = _digest([*_listing(data), RECIPE.read_text(encoding="utf-8")])
    chained = []
    for step in steps:
        # Where the folders lie changes nothing of what is in them.
        said = [argument.replace(str(runs), "RUNS") for argument in step.arguments]
        inputs = _digest([inputs, *said])
        chained.append(replace(step, inputs=inputs))
    return chained


def _listing(data: Path) -> list[str]:
    files = (path for path in sorted(data.rglob("*")) if path.is_file())
    stats = ((path, path.stat()) for path in files)
    return [f"{path.relative_to(data)} {s.st_size} {s.st_mtime_ns}" for path, s in stats]


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def run(steps: Sequence[Step], trainer: Sequence[str]) -> None:
    """Run the steps that are not done, in order; each shows its own progress.

    Args:
        steps: from `plan`.
        trainer: the command line of `mentalllama-train` without arguments.

    Raises:
        FailedStepError: a step failed; those after it were not begun.
    """
    for number, step in enumerate(steps, 1):
        count = f"[{number}/{len(steps)}]"
        if step.state == "done":
            _say(f"{count} {step.name}: done before")
            continue
        if step.state == "stale":
            _say(f"{count} {step.name}: made from something else; beginning anew")
            shutil.rmtree(step.folder, ignore_errors=True)
        command = [*trainer, *step.arguments]
        _say(f"{count} {step.what}: mentalllama-train {shlex.join(step.arguments)}")
        step.write_note(done=False)
        start = time.monotonic()
        code = subprocess.call(command, cwd=ROOT)
        if code != 0:
            raise FailedStepError(step.name, code)
        step.write_note(done=True)
        _say(f"{count} took {time.monotonic() - start:.0f} s")


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

    merged = runs / "merged"
    manifest = load_manifest(merged)
    if manifest is None:
        raise ModelFilesError(f"{merged} has no manifest: export and calibrate it first.")
    with new_directory(target) as part:
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            shutil.copy(runs / "adapter" / name, part)
        copy_papers([runs / "adapter"], part)
        for folder, name in TRAININGS.items():
            if (report := runs / folder / "training.json").is_file():
                shutil.copy(report, part / name)
        for folder in ("merged", "evaluation"):
            for name in REPORTS:
                if (report := runs / folder / name).is_file():
                    shutil.copy(report, part)
        named = manifest.model_copy(update={"name": NAME})
        write_manifest(part, named)
        write_card(part, named)
        seal(part)
        Adapter.load(part)


def _say(line: str) -> None:
    # Flushed, so that our lines and those of the steps come out in order.
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None, trainer: Sequence[str] | None = None) -> int:
    """Reads the command line, trains, installs, and returns the exit code."""
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
    parser.add_argument("--dry-run", action="store_true", help="print the steps and where they are")
    parser.add_argument(
        "overrides", nargs="*", metavar="FIELD=VALUE", help="fields of the recipe to change"
    )
    options = parser.parse_args(arguments)
    if options.data is None:
        parser.error("name the folder of the IMHI files: make train-embedded DATA=folder")
    if wrong := [text for text in options.overrides if "=" not in text]:
        parser.error(f"{wrong[0]!r} is not FIELD=VALUE, as in optimisation.epochs=1")
    if not options.data.is_dir():
        _say(f"error: there is no folder {options.data}: name the folder of the IMHI files")
        return 3
    runs = options.runs.absolute()
    steps = plan(options.data.resolve(), runs, options.overrides)
    if options.dry_run:
        for step in steps:
            print(f"{step.state:5}  mentalllama-train {shlex.join(step.arguments)}")
        return 0
    try:
        run(steps, trainer or (sys.executable, "-m", "training.cli.main"))
        install(runs, ROOT / "models" / NAME)
    except FailedStepError as error:
        if error.code == 130:
            _say("Interrupted. Run the same command again: it goes on from here.")
        else:
            _say(f"error: {error}; its own words stand above. Run the same command again.")
        return error.code
    except KeyboardInterrupt:
        _say("Interrupted. Run the same command again: it goes on from here.")
        return 130
    _say(f"models/{NAME} is trained, calibrated and measured; `make serve` builds and serves it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
