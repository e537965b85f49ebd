"""How far a run is, on standard error: a line for each point of the curve, a bar on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from service.cli.terminal import notice, notices
from training.sft.watch import METRIC

_EVALUATED = "eval_"
"""What the trainer puts before the names of an evaluation's figures."""


@contextmanager
def shown_progress() -> Iterator[Any]:
    """Give a callback of the trainer's that shows progress; its bar ends with the block.

    Of several processes the first shows it.
    """
    from transformers import TrainerCallback

    console = notices()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task("Training", total=None)

    class Shown(TrainerCallback):  # type: ignore[misc]
        """Moves the bar and writes the lines."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                bar.reset(task, total=state.max_steps, completed=state.global_step)
                bar.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            what = "Evaluating" if control.should_evaluate else "Training"
            bar.update(task, completed=state.global_step, description=what)

        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            bar.update(task, description="Training")

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            line = described(kwargs["logs"])
            if line and state.is_world_process_zero:
                show = notice if bar.disable else bar.console.print  # the latter above the bar
                show(f"Step {state.global_step:,} of {state.max_steps:,}: {line}.")

    try:
        yield Shown()
    finally:
        bar.stop()


def described(logs: Mapping[str, Any]) -> str:
    """What the trainer logs, in words; empty where there is nothing to say.

    Args:
        logs: the figures of a stretch of training, or of an evaluation.
    """
    if f"{_EVALUATED}{METRIC}" in logs:
        by_set = ", ".join(
            f"{name.removeprefix(_EVALUATED)} {value:.3f}"
            for name, value in logs.items()
            if name.startswith(_EVALUATED) and name != f"{_EVALUATED}{METRIC}"
        )
        return f"mean weighted F1 {logs[f'{_EVALUATED}{METRIC}']:.3f} ({by_set})"
    if "loss" not in logs:
        return ""
    line = f"loss {logs['loss']:.4f}, learning rate {logs['learning_rate']:.2e}"
    if "tokens_per_second" in logs:
        line += (
            f", {logs['tokens_per_second']:,.0f} tokens/s, "
            f"{logs['flops_utilisation']:.0%} of the machine's peak"
        )
    return line
