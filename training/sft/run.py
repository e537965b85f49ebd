"""One training run: a recipe in, a model directory out.

In the recipe's output folder:

- `recipe.yaml`: what is run; another recipe is refused there.
- `checkpoint-N`: to resume from.
- `training.json`: the report: machine, data, speed, curve.
- `tensorboard`: the curve for a tracker.
- `model`: the result: weights, tokenizer, manifest; an adapter for LoRA.
"""

from __future__ import annotations

import math
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service import processor
from service.analysis.manifest import MANIFEST_FILE, PromptStyle, Training, TrainingData
from training.data.example import Split
from training.data.prepared import Prepared, load_prepared
from training.errors import RecipeError, ResourcesError
from training.sft.collate import Collator
from training.sft.dataset import TrainingRows, sample, training_rows
from training.sft.monitor import make_monitor, matrix_ceiling
from training.sft.output import RECIPE_FILE, RESULT, checkpoints
from training.sft.progress import shown_progress
from training.sft.recipe import Recipe, dump
from training.sft.trainer import make_trainer_class
from training.sft.watch import METRIC, Watch
from training.sft.weights import (
    average,
    base_path,
    finish,
    load_model,
    load_tokenizer,
    write_weights,
)

Announce = Callable[[str], None]
"""Takes one line that says what is being done."""


def run(recipe: Recipe, *, resume: bool, announce: Announce) -> Path:
    """Train a model; a run that is finished is left as it is.

    Args:
        recipe: what to do; `data.path` is set.
        resume: whether to go on from the last checkpoint in the output folder, if there is one.
        announce: told what is done.

    Returns:
        The directory of the finished model.

    Raises:
        RecipeError, DataError, ModelFilesError, ModelError, ResourcesError: see the messages.
    """
    if recipe.data.path is None:
        raise RecipeError("No data to train on: give data.path=FOLDER, as `data prepare` wrote it.")
    result = recipe.output / RESULT
    if resume and (result / MANIFEST_FILE).is_file():
        announce("The run is finished; --restart begins anew.")
        return result
    _set_environment(recipe)
    recipe.output.mkdir(parents=True, exist_ok=True)
    prepared = load_prepared(recipe.data.path)
    base = base_path(recipe)
    tokenizer = load_tokenizer(base)
    rows = training_rows(recipe, prepared, tokenizer)
    announce(_described(rows))
    if _slow_in_bfloat16(recipe):
        announce(
            "This processor has no instructions for bfloat16: precision.bf16=false and "
            "precision.weights=float32 train several times as fast, for more memory."
        )
    _set_seed(recipe)
    model = load_model(recipe, base)
    with shown_progress() as progress:
        trainer = _trainer(recipe, prepared, rows, tokenizer, model, progress)
        if trainer.is_world_process_zero():
            (recipe.output / RECIPE_FILE).write_text(dump(recipe), encoding="utf-8")
        found = checkpoints(recipe.output) if resume else []
        with _ends_explained(recipe, trainer, announce):
            _train(trainer, found[-1] if found else None)
    return _finish(recipe, prepared, rows, tokenizer, trainer, base)


def _slow_in_bfloat16(recipe: Recipe) -> bool:
    """Whether products would be in bfloat16 on a CPU that has none of it."""
    import torch

    asked = recipe.precision.bf16 or recipe.precision.weights == "bfloat16"
    return asked and not torch.cuda.is_available() and processor.lacks_bfloat16()


def _train(trainer: Any, checkpoint: Path | None) -> None:
    """Train to the end, from a checkpoint if there is one."""
    if checkpoint is not None:
        from transformers import TrainerState

        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        control = state.stateful_callbacks["TrainerControl"]
        if control["args"]["should_training_stop"]:
            # Only the result is missing; the trainer would do one more step.
            best = state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
            trainer._load_from_checkpoint(best or str(checkpoint))
            return
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))


@contextmanager
def _ends_explained(recipe: Recipe, trainer: Any, announce: Announce) -> Iterator[None]:
    """Say what becomes of a run that is interrupted or runs out of memory.

    Raises:
        ResourcesError: a device's memory is used up.
    """
    import torch

    try:
        yield
    except KeyboardInterrupt:
        kept = checkpoints(recipe.output)
        there = f"The last checkpoint is {kept[-1].name}" if kept else "There is no checkpoint yet"
        announce(f"Stopped after step {trainer.state.global_step:,}. {there}.")
        raise
    except (torch.OutOfMemoryError, MemoryError):
        raise ResourcesError(
            "The memory is used up. Lower optimisation.batch_sequences and raise "
            "optimisation.gradient_accumulation as much, set precision.gradient_checkpointing=true "
            "or lower data.max_tokens; then begin anew with --restart."
        ) from None


def _trainer(
    recipe: Recipe,
    prepared: Prepared,
    rows: TrainingRows,
    tokenizer: Any,
    model: Any,
    progress: Any,
) -> Any:
    from transformers import EarlyStoppingCallback, PrinterCallback

    watch = _watch(recipe, prepared, tokenizer)
    monitor = make_monitor(recipe.output, _facts(recipe, prepared, rows), matrix_ceiling())
    callbacks = [monitor, progress]
    if watch is not None and recipe.evaluation.patience is not None:
        callbacks.append(EarlyStoppingCallback(recipe.evaluation.patience))
    data = rows.to_dataset()
    trainer = make_trainer_class()(
        model=model,
        args=_arguments(recipe, len(rows.rows), evaluated=watch is not None),
        data_collator=Collator(
            tokenizer.pad_token_id,
            recipe.pad_to_multiple_of,
            recipe.model.attention,
        ),
        train_dataset=data,
        eval_dataset=data.select([0]) if watch is not None else None,  # it must not be None
        processing_class=tokenizer,
        callbacks=callbacks,
        by_example=recipe.loss.normalise == "example",
        watch=watch,
        speed=monitor.speed,
    )
    monitor.trainer = trainer
    trainer.remove_callback(PrinterCallback)  # `progress` has taken its place
    return trainer


def _arguments(recipe: Recipe, rows: int, *, evaluated: bool) -> Any:
    """TRL's arguments for a recipe that is trained on so many rows."""
    import torch
    from trl import SFTConfig

    how, kept = recipe.optimisation, recipe.checkpoints
    schedule: dict[str, Any] = {}
    if how.schedule == "warmup_stable_decay":
        step = how.batch_sequences * how.gradient_accumulation * _processes()
        steps = how.max_steps or math.ceil(-(-rows // step) * how.epochs)
        schedule["num_decay_steps"] = math.ceil(steps / 10)
    keep = kept.keep
    if keep is not None and how.average_last and evaluated:
        keep += 1  # the trainer keeps the best as one of them, whether or not it is taken
    arguments = SFTConfig(
        output_dir=str(recipe.output),
        seed=recipe.seed,
        data_seed=recipe.seed,
        num_train_epochs=how.epochs,
        max_steps=how.max_steps or -1,
        per_device_train_batch_size=how.batch_sequences,
        gradient_accumulation_steps=how.gradient_accumulation,
        learning_rate=how.learning_rate,
        lr_scheduler_type=how.schedule,
        lr_scheduler_kwargs=schedule or None,
        warmup_steps=how.warmup,
        weight_decay=how.weight_decay,
        adam_beta1=how.betas[0],
        adam_beta2=how.betas[1],
        adam_epsilon=how.epsilon,
        max_grad_norm=how.max_grad_norm,
        optim=how.optimizer,
        bf16=recipe.precision.bf16,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=recipe.precision.gradient_checkpointing,
        torch_compile=recipe.precision.compile,
        eval_strategy="steps" if evaluated else "no",
        eval_steps=recipe.evaluation.every or None,
        save_strategy="steps" if kept.every else "no",
        save_steps=kept.every or 500,
        save_total_limit=keep,
        load_best_model_at_end=evaluated and bool(kept.every) and not how.average_last,
        metric_for_best_model=f"eval_{METRIC}" if evaluated else None,
        greater_is_better=True if evaluated else None,
        restore_callback_states_from_checkpoint=True,  # how long nothing has got better
        logging_steps=recipe.log_every,
        logging_first_step=True,
        report_to=list(recipe.trackers) or "none",
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        disable_tqdm=True,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # a process trains on one GPU; --processes takes more
    return arguments


def _watch(recipe: Recipe, prepared: Prepared, tokenizer: Any) -> Watch | None:
    if not recipe.evaluation.every:
        return None
    examples = [
        example
        for example in prepared.examples[Split.VAL]
        if recipe.data.sets is None or example.set in recipe.data.sets
    ]
    if not examples:
        raise RecipeError(
            "`evaluation.every` is set and the prepared data holds no validation rows of the "
            "recipe's sets: set evaluation.every=0."
        )
    return Watch(
        sample(examples, recipe.evaluation.rows_per_set, recipe.seed),
        tokenizer,
        PromptStyle(recipe.model.prompt_style),
        batch_tokens=recipe.evaluation.batch_tokens,
        attention=recipe.model.attention,
    )


def _finish(
    recipe: Recipe,
    prepared: Prepared,
    rows: TrainingRows,
    tokenizer: Any,
    trainer: Any,
    base: str,
) -> Path:
    """Write the result, whole or not at all."""
    result = recipe.output / RESULT
    temporary = recipe.output / f".{RESULT}"
    if trainer.is_world_process_zero():
        shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed here
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(temporary))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        count = recipe.optimisation.average_last
        last = checkpoints(recipe.output)[-count:] if count else []
        if len(last) > 1:
            write_weights(average(last), temporary, last[-1])
        tokenizer.save_pretrained(temporary)
        (temporary / "training_args.bin").unlink(missing_ok=True)  # a pickle
        for folder in (temporary, recipe.output):
            (folder / "README.md").unlink(missing_ok=True)  # TRL's own card
        training = Training(
            data=tuple(
                TrainingData(name=name, sha256=digest, rows=len(rows.examples))
                for name, digest in prepared.checksums.items()
                if name == "train.parquet"
            ),
            recipe=recipe.name,
            seed=recipe.seed,
            questions=_counted(rows),
        )
        finish(temporary, recipe, base, training)
        shutil.rmtree(result, ignore_errors=True)
        temporary.replace(result)
    trainer.accelerator.wait_for_everyone()
    # Processes that leave their group to the interpreter's end can abort there.
    trainer.accelerator.end_training()
    return result


def _counted(rows: TrainingRows) -> dict[str, int]:
    counts: dict[str, int] = {}
    for example in rows.examples:
        counts[example.question.id] = counts.get(example.question.id, 0) + 1
    return dict(sorted(counts.items()))


def _facts(recipe: Recipe, prepared: Prepared, rows: TrainingRows) -> dict[str, Any]:
    """What the report says of the run before it starts."""
    import torch

    report = rows.report
    asked = recipe.model_dump(mode="json", exclude={"output": True, "data": {"path"}})
    if Path(recipe.model.base).is_dir():  # the report travels with the model, paths do not
        asked["model"]["base"] = Path(recipe.model.base).name
    return {
        "recipe": asked,
        "machine": {
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else _processor(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "data": {
            "checksums": dict(prepared.checksums),
            "examples": report.examples,
            "explained": report.explained,
            "rows": len(rows.rows),
            "tokens": report.tokens,
            "supervised_tokens": report.supervised,
            "posts_cut": len(report.cut),
            "left_out": report.left_out,
        },
    }


def _processor() -> str:
    """The processor's name where Linux tells it."""
    names = processor.names()
    return f"{len(names)} cores, {names[0]}" if names else platform.machine()


def _described(rows: TrainingRows) -> str:
    report = rows.report
    examples = sum(report.examples.values())
    explained = sum(report.explained.values())
    line = (
        f"{examples:,} examples ({explained:,} with their explanation) in {len(rows.rows):,} rows, "
        f"{report.tokens:,} tokens, {report.supervised:,} of them trained."
    )
    if report.cut:
        line += f" The posts of {len(report.cut):,} examples are cut to fit."
    if report.left_out:
        line += f" {len(report.left_out):,} examples do not fit and are left out."
    return line


def _processes() -> int:
    """Processes that train together; accelerate's launcher tells each."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _set_environment(recipe: Recipe) -> None:
    """What libraries take from the environment, or from switches of their own."""
    from huggingface_hub import constants
    from transformers.utils import logging

    # TRL reports its use to the hub at the start. The variable is for processes that are started;
    # here it has been read already.
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    constants.HF_HUB_DISABLE_TELEMETRY = True
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(recipe.output / "tensorboard")
    logging.disable_progress_bar()  # of loading weights; the run has its own


def _set_seed(recipe: Recipe) -> None:
    """Seed what is drawn before the trainer, which seeds itself: an adapter's first weights."""
    from transformers import set_seed

    set_seed(recipe.seed)
