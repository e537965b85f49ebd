"""`mentalllama-train sft RECIPE [field=value …]`: fine-tunes a model, or says what it would do.

The recipe is resolved and planned before anything heavy is loaded; a plan with a problem is
refused. Then `training.sft.run` does the work, in this process or in several that accelerate
starts.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from service.cli.terminal import notice, output, print_json
from training.cli.failures import exit_code, failures_reported
from training.cli.plan_report import show
from training.errors import UsageError
from training.sft.recipe_file import shipped

_RECIPES = ", ".join(shipped())


def sft(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            show_default=False,
            help=f"A recipe that ships ({_RECIPES}), or a YAML file; docs/recipes.md lists the "
            "fields.",
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD=VALUE]...",
            show_default=False,
            help="Fields to change, as in `data.path=DIR` or `optimisation.learning_rate=1e-4`.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, and what stands in the way.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --dry-run: print one JSON object.")
    ] = False,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--restart",
            show_default=False,
            help="Go on from the last checkpoint in the output folder, which is the default where "
            "there is one; or remove the checkpoints and begin anew.",
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Processes, one for each GPU.")
    ] = 1,
    accelerate: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            show_default=False,
            help="A configuration of accelerate: fsdp2 (the default on GPUs), deepspeed_zero3, "
            "cpu_two_processes (the default on CPUs), or a file.",
        ),
    ] = None,
    memory_check: Annotated[
        bool,
        typer.Option(
            "--memory-check/--no-memory-check",
            help="Whether to refuse a run that does not fit by estimate.",
        ),
    ] = True,
) -> None:
    """Fine-tune a model by a recipe.

    The output folder gets checkpoints, logs, a report and the finished model. An interrupted run
    goes on when the same command is given again.

    For example:

        mentalllama-train sft embedded-135m data.path=prepared --dry-run

        mentalllama-train sft llama-3.1-8b-lora data.path=prepared output=runs/llama

        mentalllama-train sft mentalllama-7b data.path=prepared --processes 4
    """
    with failures_reported():
        from training.sft import launch
        from training.sft.machine import find_machine
        from training.sft.output import clear
        from training.sft.overrides import resolve
        from training.sft.plan import make_plan

        if as_json and not dry_run:
            raise UsageError("--json goes with --dry-run.")
        resolved = resolve(recipe, overrides or ())
        machine = find_machine()
        divided = launch.plan_processes(processes, accelerate, machine.device)
        restart = resume is False
        plan = make_plan(resolved, machine, divided, restart=restart, memory_check=memory_check)
        if dry_run:
            print_json(plan.to_json()) if as_json else show(plan)
        if plan.problems:
            if divided.first and not as_json:
                for problem in plan.problems:
                    notice(f"Error: {problem.message}")
            raise typer.Exit(exit_code(plan.problems[0]))
        if dry_run:
            return
        if restart and divided.first:
            clear(resolved.recipe.output)
        elif resume and plan.checkpoint is None:
            raise UsageError(f"--resume: there is no checkpoint in {resolved.recipe.output}.")
        elif plan.checkpoint and divided.first:
            notice(
                f"Going on from {plan.checkpoint} in {resolved.recipe.output}; --restart begins "
                "anew."
            )
        if divided.config is not None:
            launch.start(divided, ["sft", recipe, *(overrides or ()), "--no-memory-check"])
            return
        from training.sft.run import run

        announce = notice if divided.first else _silent
        model = run(resolved.recipe, resume=not restart, announce=announce)
        if divided.first:
            output().print(Text(str(model)), soft_wrap=True)


def _silent(_: str) -> None:
    pass
