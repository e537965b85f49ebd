"""The weighted loss, and the head that is run only where a token counts."""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any

from training.sft.layout import IGNORED

if TYPE_CHECKING:
    import torch


# What a configuration calls a change of the logits after the output layer, beside which the layer
# alone is not the model.
_ON_LOGITS = (
    "final_logit_softcapping",
    "lm_head_multiplier",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
)


def add_sparse_head(model: Any) -> None:
    """Let `model(...)` run its output layer at chosen positions only.

    `model(..., labels=…, supervised=True)` returns the log-probabilities of the labels, shape
    (rows, tokens - 1), 0 where there is none. `model(..., places=(rows, columns))` returns the
    logits at these places in float32, shape (places, vocabulary). For a small model with a large
    vocabulary the output layer is a fifth of the work. TRL's fused head does the same on GPUs;
    elsewhere it computes every position. The way goes through the model's own `forward`, so that
    wrappers (data parallelism, sharding, PEFT) see an ordinary call. A model that scales or caps
    its logits computes all of them itself.

    Args:
        model: a causal language model of transformers, not yet wrapped. Adding the head twice
            changes nothing.
    """
    import torch

    if getattr(model, "_sparse_head", False):
        return
    original = model.forward
    config = model.config.get_text_config()
    plain = all(getattr(config, name, None) in (None, 1.0) for name in _ON_LOGITS)

    @functools.wraps(type(model).forward)
    def forward(
        self: Any, *args: Any, supervised: bool = False, places: Any = None, **kwargs: Any
    ) -> Any:
        if not supervised and places is None:
            return original(*args, **kwargs)
        labels = kwargs.pop("labels", None)
        kwargs["use_cache"] = False
        if plain:
            hidden = self.base_model(*args, **kwargs).last_hidden_state
            head = self.get_output_embeddings()
        else:
            hidden = original(*args, **kwargs).logits
            head = torch.nn.Identity()
        if places is not None:
            if type(head) is not torch.nn.Linear:
                return head(hidden[places]).float()  # an adapter's layer, or none
            with torch.autocast(hidden.device.type, enabled=False):
                bias = None if head.bias is None else head.bias.float()
                weight = head.weight.float()
                return torch.nn.functional.linear(hidden[places].float(), weight, bias)
        labels = labels[:, 1:]
        mask = labels != IGNORED
        logits = head(hidden[:, :-1][mask]).float()
        chosen = torch.log_softmax(logits, dim=-1).gather(1, labels[mask][:, None])[:, 0]
        return chosen.new_zeros(mask.shape).masked_scatter(mask, chosen)

    model.forward = types.MethodType(forward, model)
    model._sparse_head = True


def weighted_loss(
    log_probs: torch.Tensor, weights: torch.Tensor, count: torch.Tensor | float
) -> torch.Tensor:
    """The loss: weighted negative log-likelihood over what the whole step counts.

    Args:
        log_probs: of each next token, 0 where there is no label; shape (rows, tokens - 1).
        weights: of each token, shape (rows, tokens).
        count: what the examples, or the tokens, of all batches of the optimizer's step count. With
            it a step's gradient is the same however the step is cut into batches.
    """
    return -(log_probs * weights[:, 1:]).sum() / count
