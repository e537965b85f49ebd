"""TRL's SFTTrainer with weighted tokens.

The trainer gets rows that are tokens already (`training.sft.layout`), so nothing of TRL's own
preparation, masking or truncation is at work; what it and transformers bring is the loop, the
optimizer, mixed precision, distribution, checkpoints and their resumption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.sft.losses import add_sparse_head, weighted_loss
from training.sft.sampler import LengthSampler
from training.sft.watch import Watch


def make_trainer_class() -> type[Any]:
    """The trainer's class; made in a function so that importing this module loads no torch."""
    import torch
    from trl import SFTTrainer

    class WeightedSFTTrainer(SFTTrainer):  # type: ignore[misc]
        """SFTTrainer whose loss weighs tokens.

        Args:
            by_example: whether a step's loss is divided by what its examples count, or by what its
                tokens count.
            watch: measures validation rows; None where nothing is evaluated.
            speed: figures that go into each log of the loss.

        Attributes:
            tokens_seen: tokens this process was trained on since it started, without padding.
            supervised_seen: how many of them counted.
        """

        def __init__(
            self,
            *args: Any,
            by_example: bool,
            watch: Watch | None = None,
            speed: Callable[[], Mapping[str, float]] = dict,
            **kwargs: Any,
        ) -> None:
            super().__init__(*args, **kwargs)
            self._speed = speed
            self._by_example = by_example
            self._watch = watch
            # The count of a step covers all of its batches; nothing is left to divide.
            self.loss_is_scaled_for_ga = True
            self._fused = self.accelerator.device.type == "cuda"
            base = self.accelerator.unwrap_model(self.model)
            add_sparse_head(base.get_base_model() if hasattr(base, "peft_config") else base)
            self.tokens_seen = 0
            self.supervised_seen = 0

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            """Rows of a like length together, in an order that resuming does not change."""
            rows = train_dataset if train_dataset is not None else self.train_dataset
            step = self.args.train_batch_size * self.args.gradient_accumulation_steps
            return LengthSampler(
                list(rows["length"]), step * self.accelerator.num_processes, self.args.seed
            )

        def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
            """Weighted F1 by label reads; see `training.sft.watch`."""
            if self._watch is None:
                return {}
            with self.compute_loss_context_manager():
                scores = self._watch.measure(self.model_wrapped)
            metrics = {f"eval_{name}": score for name, score in scores.items()}
            self.log(dict(metrics))
            self.control: Any = self.callback_handler.on_evaluate(
                self.args, self.state, self.control, metrics
            )
            return metrics

        def _determine_best_metric(self, metrics: Mapping[str, float], trial: Any) -> bool:
            """Whether these are the best so far, of those whose weights are kept."""
            if self.args.save_strategy == "steps" and not self.control.should_save:
                return False
            return bool(super()._determine_best_metric(metrics, trial))

        def _get_num_items_in_batch(
            self, batch_samples: Sequence[dict[str, Any]], device: Any
        ) -> Any:
            """What the step's examples or tokens count, over all batches and processes."""
            if not batch_samples:
                return None
            if self._by_example:
                count = sum(batch["examples"].sum() for batch in batch_samples)
            else:
                count = sum(batch["weights"].sum() for batch in batch_samples)
            return self.accelerator.gather(torch.as_tensor(count).to(device)).sum()

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            """The weighted loss of a batch; there are no outputs to return."""
            if return_outputs:
                raise NotImplementedError("the head is not run where no token counts")
            inputs = dict(inputs)
            weights, examples = inputs.pop("weights"), inputs.pop("examples")
            tokens = inputs.pop("tokens")
            count = num_items_in_batch
            if count is None:
                count = examples.sum() if self._by_example else weights.sum()
            if self._fused:
                log_probs = model(**inputs, fused_lm_head=True).log_probs
            else:
                log_probs = model(**inputs, supervised=True)
            loss = weighted_loss(log_probs, weights, count)
            if model.training:
                self.tokens_seen += int(tokens)
                self.supervised_seen += int((weights > 0).sum())
            # Gradients are averaged over processes, and the count is of all of them.
            return loss * self.accelerator.num_processes

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            """Log the speed too, and none of TRL's metrics of outputs, which are not computed."""
            self._metrics["train"].clear()
            self._metrics["eval"].clear()
            super().log({**logs, **self._speed()} if "loss" in logs else logs, start_time)

    return WeightedSFTTrainer
