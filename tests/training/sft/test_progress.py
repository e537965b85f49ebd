"""What a person sees of a run: lines, and a bar on a terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from training.sft import progress
from training.sft.progress import described, shown_progress
from training.sft.watch import METRIC

LOSS = {"loss": 0.41234, "learning_rate": 3e-4, "grad_norm": 1.0}
SPEED = {"tokens_per_second": 1234.5, "flops_utilisation": 0.31}
SCORES = {f"eval_{METRIC}": 0.7125, "eval_DR": 0.8, "eval_SAD": 0.625, "epoch": 1.0}


def state(step: int, *, first: bool = True) -> SimpleNamespace:
    return SimpleNamespace(global_step=step, max_steps=40, is_world_process_zero=first)


def control(*, evaluate: bool = False) -> SimpleNamespace:
    return SimpleNamespace(should_evaluate=evaluate)


@pytest.mark.parametrize(
    ("logs", "words"),
    [
        (LOSS, "loss 0.4123, learning rate 3.00e-04"),
        (
            LOSS | SPEED,
            "loss 0.4123, learning rate 3.00e-04, 1,234 tokens/s, 31% of the machine's peak",
        ),
        (SCORES, "mean weighted F1 0.713 (DR 0.800, SAD 0.625)"),
        ({"train_runtime": 3.0}, ""),
    ],
)
def test_figures_in_words(logs, words) -> None:
    assert described(logs) == words


def test_lines_where_there_is_no_terminal(capsys) -> None:
    with shown_progress() as shown:
        shown.on_train_begin(None, state(0), control())
        shown.on_step_end(None, state(1), control())
        shown.on_log(None, state(1), control(), logs=LOSS)
        shown.on_log(None, state(1), control(), logs={"train_runtime": 3.0})
    captured = capsys.readouterr()
    assert captured.err == "Step 1 of 40: loss 0.4123, learning rate 3.00e-04.\n"
    assert captured.out == ""


def test_one_process_of_several_shows(capsys) -> None:
    with shown_progress() as shown:
        shown.on_train_begin(None, state(0, first=False), control())
        shown.on_log(None, state(1, first=False), control(), logs=LOSS)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal_that_ends_with_the_run(monkeypatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, highlight=False)
    monkeypatch.setattr(progress, "notices", lambda: console)

    def interrupted() -> None:
        with shown_progress() as shown:
            shown.on_train_begin(None, state(10), control())
            shown.on_step_end(None, state(11), control())
            shown.on_log(None, state(11), control(), logs=LOSS)
            shown.on_step_end(None, state(12), control(evaluate=True))
            shown.on_evaluate(None, state(12), control())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    text = screen.getvalue()
    assert "Step 11 of 40: loss 0.4123" in text
    assert "12/40" in text
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is back
