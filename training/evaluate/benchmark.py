"""What is to be measured, and how: a benchmark run before it runs.

The command line makes a `Benchmark`; `training.evaluate.run` runs it; reports show its options and
the command that would repeat it, with folders by their names alone.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from training.data.example import Split
from training.evaluate.answers import Decoding
from training.evaluate.runner import CONCURRENCY


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter on the model.

    Attributes:
        name: what it is called.
        directory: where it lies, in PEFT's form.
    """

    name: str
    directory: Path


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is to be measured, and how.

    Attributes:
        model: `embedded`, a directory or a hub id.
        data: prepared data, or the benchmark's released files.
        output: the run's folder; one that holds an unfinished run is gone on with.
        split: the part of the data that is measured.
        sets: ids of the sets; None for all.
        limit: most rows a set; None for all.
        explained: how many rows a set are explained; None for all.
        free_form: how many rows a set are asked for a whole response; None for all.
        seed: of the samples and of the bootstrap.
        seen_in: data whose train split the model was trained on; that of `data` by default.
        adapter: measured on top of the model, or None.
        engine_options: options of vLLM's engine, as on its command line.
        decoding: how the model is asked; its `adapter` is set by the run.
        concurrency: posts in flight.
        resamples: of the bootstrap.
        bertscore, bartscore: encoder and seq2seq model for these metrics, or None.
        sample_page: whether `samples.html` is written.
        restart: throw away the answers of an earlier run.
        reads_from: folder of an earlier run of the same model whose label reads are taken over,
            under the calibration that the model has now.
    """

    model: str
    data: Path
    output: Path
    split: Split = Split.VAL
    sets: tuple[str, ...] | None = None
    limit: int | None = None
    explained: int | None = 50
    free_form: int | None = 50
    seed: int = 0
    seen_in: Path | None = None
    adapter: Adapter | None = None
    engine_options: tuple[str, ...] = ()
    decoding: Decoding = field(default_factory=Decoding)
    concurrency: int = CONCURRENCY
    resamples: int = 1000
    bertscore: str | None = None
    bartscore: str | None = None
    sample_page: bool = True
    restart: bool = False
    reads_from: Path | None = None

    def options(self) -> dict[str, str]:
        """The settings of the run that a report shows."""
        return {
            "sets": ", ".join(self.sets) if self.sets else "all",
            "rows a set": _amount(self.limit),
            "explained rows a set": _amount(self.explained),
            "free-form rows a set": _amount(self.free_form),
            "sampling seed": str(self.seed),
            **self.decoding_options(),
        }

    def decoding_options(self) -> dict[str, str]:
        """Those of them that an answer depends on."""
        decoding = self.decoding
        return {
            "truncation": decoding.truncation.value,
            "explanation_tokens": str(decoding.explanation_tokens),
            "max_tokens": str(decoding.response_tokens),
            "consistency": str(decoding.consistency).lower(),
            "engine_options": shlex.join(self.engine_options) or "none",
        }

    def command(self) -> str:
        """The command that measures it again, with folders by their names alone."""
        model = Path(self.model).absolute().name if Path(self.model).is_dir() else self.model
        given: dict[str, str | None] = {
            "--data": self.data.absolute().name,
            "--split": self.split.value,
            "--sets": ",".join(self.sets) if self.sets else None,
            "--limit": str(self.limit) if self.limit is not None else None,
            "--explain": _amount(self.explained),
            "--free-form": _amount(self.free_form),
            "--seed": str(self.seed),
            "--truncation": self.decoding.truncation.value,
            "--explanation-tokens": str(self.decoding.explanation_tokens),
            "--max-tokens": str(self.decoding.response_tokens),
            "--seen-in": self.seen_in.absolute().name if self.seen_in else None,
            "--adapter": f"{self.adapter.name}={self.adapter.directory.absolute().name}"
            if self.adapter
            else None,
            "--bertscore": Path(self.bertscore).name if self.bertscore else None,
            "--bartscore": Path(self.bartscore).name if self.bartscore else None,
        }
        words = ["mentalllama-train", "evaluate", model]
        words += [word for name, value in given.items() if value for word in (name, value)]
        if not self.decoding.consistency:
            words.append("--no-consistency")
        if self.engine_options:
            words += ["--", *self.engine_options]
        return shlex.join(words)


def _amount(number: int | None) -> str:
    return "all" if number is None else str(number) if number else "none"
