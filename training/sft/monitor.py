"""What a run says of itself: tokens per second, utilisation, the curve, and the report at the end.

Model FLOPs utilisation is the floating-point operations that the training needs, over those that
the machine could have done in the same time:

    needed = 6 * (linear weights of the layers) * tokens + 6 * (output layer) * supervised tokens

forward and backward, 2 + 4 operations a weight and token (Kaplan et al., arXiv 2001.08361;
Chowdhery et al., arXiv 2204.02311, appendix B); 4 for frozen weights, and 2 where nothing below
them is trained either, since no gradient goes through. Attention scores are left out, so it is a
lower bound. The ceiling is measured: a large matrix product, timed at the start, in bfloat16, or in
float32 on a processor whose products of bfloat16 are slower.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service import processor
from training.sft.weights import layer_stack

REPORT = "training.json"
"""The report's file in a run's output."""


def matrix_ceiling(seconds: float = 1.0) -> float:
    """Floating-point operations a second of a large matrix product on this device."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = 8192 if device.type == "cuda" else 2048
    slow = device.type == "cpu" and processor.lacks_bfloat16()
    dtype = torch.float32 if slow else torch.bfloat16
    left = torch.randn(size, size, dtype=dtype, device=device)
    right = torch.randn(size, size, dtype=dtype, device=device)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        left @ right
    wait()
    products, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        left @ right
        wait()
        products += 1
    return products * 2 * size**3 / (time.perf_counter() - started)


def operations_per_token(model: Any) -> tuple[float, float]:
    """Training operations for a token, and more for one that counts; see the module.

    Args:
        model: a causal language model, wrapped by PEFT or not.

    Returns:
        Operations in the layers, operations in the output layer.
    """
    import torch

    head = model.get_output_embeddings()
    heads = set(head.modules())  # PEFT keeps the untrained one beside one that it trains
    forward_only = _below_what_is_trained(model)
    layers = 0.0
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module not in heads:
            weight = module.weight
            size = float(getattr(weight, "quant_state", weight).shape.numel())
            frozen = 2 if module in forward_only else 4
            layers += size * (6 if weight.requires_grad else frozen)
    return layers, float(head.weight.numel() * (6 if head.weight.requires_grad else 4))


def _below_what_is_trained(model: Any) -> set[Any]:
    """The modules of the first layers, up to the first that trains something."""
    below: set[Any] = set()
    if any(weight.requires_grad for weight in model.get_input_embeddings().parameters()):
        return below
    for layer in layer_stack(model):
        if any(weight.requires_grad for weight in layer.parameters()):
            break
        below |= set(layer.modules())
    return below


def make_monitor(output: Path, facts: Mapping[str, Any], ceiling: float) -> Any:
    """The trainer's callback that logs speed and writes the report.

    Args:
        output: the run's folder; what is in its report stays when the run goes on.
        facts: what the report says beside curve and speed.
        ceiling: operations a second of one device, from `matrix_ceiling`.
    """
    from transformers import TrainerCallback

    class Monitor(TrainerCallback):  # type: ignore[misc]
        """Logs tokens per second and utilisation; keeps the curve in the report."""

        def __init__(self) -> None:
            self.trainer: Any = None
            self._report = _read(output / REPORT)
            self._since = 0.0
            self._devices = 1
            self._operations = (0.0, 0.0)

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._operations = operations_per_token(kwargs["model"])
            self._since = time.perf_counter()
            # Steps after the checkpoint that is resumed from are trained again.
            curve = self._report.get("curve", [])
            curve = [point for point in curve if point["step"] <= state.global_step]
            spent = [part for part in self._report.get("sessions", []) if part["seconds"]]
            self._report = {**facts, "ceiling_flops": ceiling, "curve": curve, "sessions": spent}
            self._report["sessions"].append(
                {"from_step": state.global_step, "seconds": 0.0, "tokens": 0, "supervised": 0}
            )

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            logs: dict[str, Any] = kwargs["logs"]
            point = {"step": state.global_step, "epoch": state.epoch, **logs}
            self._report["curve"].append({key: point[key] for key in sorted(point)})
            self._write(state)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            part = self._report["sessions"][-1]
            now = time.perf_counter()
            part["seconds"] += now - self._since
            self._since = now
            # Rows are divided evenly: what one process was trained on stands for each.
            part["tokens"] = self.trainer.tokens_seen * args.world_size
            part["supervised"] = self.trainer.supervised_seen * args.world_size
            self._devices = args.world_size
            if state.global_step >= state.max_steps and args.eval_strategy != "no":
                # The trainer saves the last step and does not measure it: it could not be the best.
                control.should_evaluate = True
            # A point of the curve is a mean since the last; a run that goes on starts a new one.
            control.should_log = control.should_log or control.should_save

        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._since = time.perf_counter()  # what evaluation took is not training

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._since = time.perf_counter()
            self._write(state)

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._write(state)

        def speed(self) -> dict[str, float]:
            """Tokens a second of all processes, and utilisation, since this one began to train."""
            part = self._report["sessions"][-1]
            if not part["seconds"]:
                return {}
            layers, head = self._operations
            needed = layers * part["tokens"] + head * part["supervised"]
            return {
                "tokens_per_second": part["tokens"] / part["seconds"],
                "flops_utilisation": needed / part["seconds"] / (ceiling * self._devices),
            }

        def _write(self, state: Any) -> None:
            if not state.is_world_process_zero:
                return
            self._report["sessions"][-1] |= self.speed()
            temporary = output / f".{REPORT}"
            temporary.write_text(json.dumps(self._report, indent=1) + "\n", encoding="utf-8")
            temporary.replace(output / REPORT)

    return Monitor()


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
