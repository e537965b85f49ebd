"""What the automatic metrics say of each item, to be held against what people said.

The metrics of explanations are those of the benchmark, item by item. `consistency_of` adds what a
model reads in each explanation alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from imhi.tasks import QUESTIONS
from service.analysis.types import Explain, Options, Truncation
from service.local import open_analyzer
from training.annotate.items import Item
from training.evaluate.explanation_metrics import DEFINITIONS, Models, Sample, measure_samples

_PER_ITEM = (
    "quotes_found",
    "quotes",
    "words",
    "repeats_or_cut_off",
    "prompt_talk",
    "not_english",
    "clinical_words",
    "repeated_4grams",
    "copied",
)
_AT_ONCE = 64
_NONE = "There is no reference explanation."


@dataclass(frozen=True, slots=True)
class Metrics:
    """Automatic metrics of items.

    Attributes:
        values: metric id to item id to value; an item that a metric says nothing of is left out.
        definitions: metric id to what it is.
    """

    values: Mapping[str, Mapping[str, float]]
    definitions: Mapping[str, str]


def metrics_of(items: Iterable[Item]) -> Metrics:
    """Measure every item with the metrics that need no model and no reference."""
    listed = tuple(items)
    samples = [
        Sample(
            set="",
            post=item.post,
            post_key=item.id,
            text=item.explanation,
            reference=None,
            finish_reason="stop",
            right=True,
            consistency=None,
        )
        for item in listed
    ]
    terms = measure_samples(samples, Models(_NONE, _NONE), batch_size=1, on_scored=None)
    values = {
        metric: {
            item.id: above / below
            for item, (above, below) in zip(listed, terms[metric], strict=True)
            if below
        }
        for metric in _PER_ITEM
    }
    return Metrics(values, {metric: DEFINITIONS[metric] for metric in _PER_ITEM})


async def consistency_of(items: Iterable[Item], model: str, options: Sequence[str] = ()) -> Metrics:
    """Read every explanation alone with a model, and take the probability of its label.

    Args:
        items: those whose question and label are the benchmark's.
        model: as `service.local.open_analyzer` takes it.
        options: options of vLLM.

    Raises:
        ModelError: the model cannot be loaded.
    """
    options_read = Options(explain=Explain.NEVER, truncation=Truncation.MIDDLE)
    by_text = {question.text: question for question in QUESTIONS.values()}
    values: dict[str, float] = {}
    async with open_analyzer(model, options) as analyzer:

        async def read(item: Item) -> None:
            question = by_text[item.question]
            labels = {label.answer: label.id for label in question.labels}
            analysis = await analyzer.analyze(item.explanation, (question,), options_read, item.id)
            (answer,) = analysis.answers
            values[item.id] = answer.distribution.probabilities[labels[item.label]]

        wanted = [item for item in items if item.explanation.strip() and item.question in by_text]
        for start in range(0, len(wanted), _AT_ONCE):
            await asyncio.gather(*map(read, wanted[start : start + _AT_ONCE]))
        name = analyzer.model_name
    said = f"Probability of the label when {name} reads the explanation alone."
    return Metrics({"consistency": values}, {"consistency": said})
