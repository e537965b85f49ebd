"""A small benchmark: posts written for the tests, a folder of released files, a model to ask."""

from __future__ import annotations

import contextlib
import csv
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imhi.tasks import DATASETS, QUESTIONS
from imhi.wording import render_answer, render_query
from service.analysis.analyzer import Analyzer
from service.analysis.manifest import Manifest, assumed_manifest, write_manifest
from service.models import ResolvedModel
from tests.service.analysis.engines import FakeEngine
from tests.tokenizers import word_tokenizer
from training.data.example import Example, Origin, Split

POSTS = (
    "The rent is due on Friday and my shifts were cut again.",
    "We walked by the river and I slept through the night.",
    "My boss said “be quicker” again and I could not sleep.",
    "I moved to a new town and eat lunch alone every day.",
    "Exams begin on Monday. I have read half of the book.",
    "My sister called, and we laughed about the old car.",
)
EXPLANATION = "The post speaks of it in plain words."


def example(
    post: int = 0,
    question: str = "stress",
    label: str | None = None,
    *,
    of: str = "dreaddit",
    split: Split = Split.VAL,
    row: int | None = None,
    explanation: str | None = EXPLANATION,
) -> Example:
    asked = QUESTIONS[question]
    return Example(
        post=POSTS[post],
        question=asked,
        label=asked.label(label) if label else asked.labels[post % len(asked.labels)],
        origin=Origin.REFERENCE,
        set=of,
        split=split,
        source=f"{of}/{split}.csv",
        row=row or post + 1,
        explanation=explanation,
    )


def stress_rows() -> list[Example]:
    return [example(post) for post in range(len(POSTS))]


def wellness_rows(posts: Sequence[int] = (0, 1, 2)) -> list[Example]:
    questions = DATASETS["MultiWD"].questions
    return [
        example(post, question.id, of="MultiWD", row=6 * post + place)
        for post in posts
        for place, question in enumerate(questions, 1)
    ]


def released_folder(folder: Path) -> Path:
    """Six val rows of dreaddit and twelve of MultiWD; one train row of dreaddit, on a val post."""
    for name, split, rows in (
        ("dreaddit", "val", stress_rows()),
        ("dreaddit", "train", [example(0, label="yes", split=Split.TRAIN)]),
        ("MultiWD", "val", wellness_rows((1, 2))),
    ):
        place = folder / "train_data" / "instruction_data" / name
        place.mkdir(parents=True, exist_ok=True)
        with (place / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["query", "gpt-3.5-turbo"])
            for row in rows:
                writer.writerow(
                    [render_query(row.post, row.question), render_answer(row.label, EXPLANATION)]
                )
    return folder


def model_folder(folder: Path, **fields: Any) -> Path:
    """A directory that passes for a model's; its weights are a few bytes."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    manifest = {**assumed_manifest("mentallama", True).model_dump(), "name": "tested", **fields}
    write_manifest(folder, Manifest.model_validate(manifest, strict=False))
    return folder


@functools.cache
def tokenizer() -> Any:
    return word_tokenizer()


def analyzer(engine: FakeEngine, manifest: Manifest | None = None) -> Analyzer:
    return Analyzer(engine, tokenizer(), manifest or assumed_manifest("mentallama", True), "tested")


class FakeModel:
    """Opens an Analyzer on a fake engine in the place of vLLM; remembers how it was opened."""

    def __init__(self, engine: FakeEngine | None = None) -> None:
        self.engine = engine or FakeEngine(" Yes, it does. Reasoning: it says so.")
        self.opened: list[tuple[ResolvedModel, tuple[str, ...], Mapping[str, Path] | None]] = []

    @contextlib.asynccontextmanager
    async def __call__(
        self,
        model: ResolvedModel,
        options: Sequence[str],
        *,
        adapters: Mapping[str, Path] | None,
    ) -> AsyncIterator[Analyzer]:
        from service.models import local_manifest

        self.opened.append((model, tuple(options), adapters))
        yield analyzer(self.engine, local_manifest(Path(model.path)))
