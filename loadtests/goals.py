"""The goals: what is to be reached, what was, and whether that is enough.

Most goals are ratios of two measurements of one run on one machine, so that they can be held
against another run on another machine. A goal that was not measured is not met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from training.evaluate.document import NOT_MEASURED


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal.

    Attributes:
        id: stable, as in `bench.json`.
        what: in words.
        target: the value to reach.
        at_least: whether more is better; else less is.
        unit: of the value: "times", "share", "ms", "s".
    """

    id: str
    what: str
    target: float
    at_least: bool = True
    unit: str = "times"


GOALS: Mapping[str, Goal] = {
    goal.id: goal
    for goal in (
        Goal(
            "explained.transformers",
            "Label and explanation, one question a post: posts per second over "
            "transformers.generate in padded batches of 8",
            15.0,
        ),
        Goal(
            "explained.chat",
            "The same over a plain vLLM server's chat completions",
            1.1,
        ),
        Goal(
            "labels.chat",
            "All questions on a post, labels only: posts per second over a plain vLLM server's "
            "chat completions",
            10.0,
        ),
        Goal(
            "labels.reads",
            "The same over a plain vLLM server's one-token reads, one a question",
            1.5,
        ),
        Goal(
            "labels.questions",
            "Cost of all questions over the cost of one, at posts of 300 tokens",
            2.5,
            at_least=False,
        ),
        Goal(
            "http.throughput",
            "Labels by /analyze over the same reads with the engine in process",
            0.97,
            unit="share",
        ),
        Goal(
            "http.overhead.median",
            "Median overhead of /analyze with a fake engine at 200 requests a second",
            3.0,
            at_least=False,
            unit="ms",
        ),
        Goal(
            "http.overhead.p99",
            "The 99th percentile of that overhead",
            10.0,
            at_least=False,
            unit="ms",
        ),
        Goal(
            "http.chat",
            "Chat completions per second over a plain vLLM server's",
            0.99,
            unit="share",
        ),
        Goal(
            "limit.prefill",
            "Prompt processing at saturation, share of the measured matrix ceiling",
            0.5,
            unit="share",
        ),
        Goal(
            "limit.decode",
            "Decoding of one stream, share of the measured memory bandwidth",
            0.6,
            unit="share",
        ),
        Goal(
            "latency.first_label",
            "95th percentile of the first label at 70% of the knee's load over its unloaded value",
            2.0,
            at_least=False,
        ),
        Goal(
            "stability.flips",
            "Reads whose label is another alone than among 64 requests",
            0.001,
            at_least=False,
            unit="share",
        ),
        Goal(
            "start.ready",
            "From start to ready, with every cache filled",
            25.0,
            at_least=False,
            unit="s",
        ),
    )
}
"""All goals by id, in the order of the report."""


def aim(at_least: bool, target: float, unit: str) -> str:
    """A goal's target in words, from what `Outcome.to_json` says of it."""
    return f"{'at least' if at_least else 'at most'} {target:g} {unit}"


def figure(value: float | None) -> str:
    """What was measured, or that nothing was."""
    return NOT_MEASURED if value is None else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A goal and what became of it.

    Attributes:
        goal: the goal.
        value: what was measured; None where it was not.
        note: how, or why not.
    """

    goal: Goal
    value: float | None
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        if self.value is None:
            return False
        if self.goal.at_least:
            return self.value >= self.goal.target
        return self.value <= self.goal.target

    def to_json(self) -> dict[str, Any]:
        """The goal, the value, and whether it is met."""
        return {**asdict(self.goal), "value": self.value, "met": self.met, "note": self.note}


def judge(measured: Mapping[str, tuple[float, str]]) -> list[Outcome]:
    """Hold what was measured against the goals.

    Args:
        measured: goal id to value and note.

    Raises:
        KeyError: an id that no goal has.
    """
    unknown = measured.keys() - GOALS.keys()
    if unknown:
        raise KeyError(f"no such goal: {', '.join(sorted(unknown))}")
    missing = (None, "not measured in this run")
    return [Outcome(goal, *measured.get(name, missing)) for name, goal in GOALS.items()]
