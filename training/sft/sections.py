"""The sections of a recipe: typed, bounded, documented fields.

`training.sft.recipe` puts them together; `docs/recipes.md` is generated from the descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from imhi.tasks import DATASETS

Balance = Literal["natural", "sqrt", "equal"]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def _known_set(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(f"there is no set {name!r}; the sets are {', '.join(DATASETS)}")
    return name


SetName = Annotated[str, AfterValidator(_known_set)]


class Section(BaseModel):
    """What every section is: frozen, and without fields that are not declared."""

    # Strict: a number written as a string is a mistake to name, not to guess.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelSection(Section):
    """What is trained, and how a query is put before it."""

    base: str = Field(
        min_length=1,
        description="The model to start from: `embedded` (its untuned base), a directory, or an id "
        "on a hub (org/name).",
    )
    attention: Literal["sdpa", "grouped", "flash_attention_2", "flex_attention", "eager"] = Field(
        default="sdpa",
        description="The implementation of attention. `sdpa` runs everywhere; `grouped` is this "
        "project's for CPUs; `flex_attention` needs a GPU; `flash_attention_2` needs a GPU and the "
        "package flash-attn; `eager` is for comparisons.",
    )
    prompt_style: Literal["bare", "chat"] = Field(
        default="bare",
        description="`bare` trains on the query as it is, as MentalLLaMA was; `chat` puts it into "
        "the model's chat template. The service asks the model in the same style.",
    )


class DataSection(Section):
    """Which rows are trained on, and how long they may be."""

    path: Path | None = Field(
        default=None,
        description="The folder that `mentalllama-train data prepare` wrote. Shipped recipes leave "
        "it out: give `data.path=DIR`.",
    )
    sets: tuple[SetName, ...] | None = Field(
        default=None, description="The data sets to train on; all there are if null."
    )
    origins: tuple[Literal["reference", "annotation"], ...] | None = Field(
        default=None,
        description="Whose labels to train on: the benchmark's `reference` answers, the "
        "annotators' own `annotation` of label-only rows, or both if null.",
    )
    explanations: bool = Field(
        default=True,
        description="Whether explanations are trained; if false, every row trains its answer "
        "sentence alone.",
    )
    max_tokens: int = Field(
        default=2048,
        ge=64,
        description="Most tokens in one sequence. The post of a longer row is cut; question and "
        "answer never are.",
    )
    truncation: Literal["head", "middle", "tail"] = Field(
        default="middle",
        description="What is kept of a post that is cut: its `head`, its `tail`, or both ends "
        "(`middle`). As the service's option of that name.",
    )
    row_limit: Count | None = Field(
        default=None, description="Most rows of each set, drawn with the seed; all if null."
    )


class LossSection(Section):
    """What each token of a row weighs in the loss."""

    answer_weight: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Weight of the answer sentence's loss; the explanation's, averaged over its "
        "tokens, weighs the rest (1 minus this), so that the tokens that decide a label are not "
        "lost among those that explain it. Every token alike if null.",
    )
    explanation_weight: float = Field(
        default=1.0,
        ge=0,
        description="Factor on the loss of explanations, after `answer_weight`; 0 leaves them "
        "untrained.",
    )
    normalise: Literal["example", "token"] = Field(
        default="token",
        description="What a step's loss is divided by: the weights of its rows (`example`), or "
        "those of its tokens (`token`, the usual mean).",
    )
    answer_span: Literal["sentence", "branch"] = Field(
        default="sentence",
        description="What of the answer is trained: the whole `sentence`, or only up to the token "
        "where the question's labels part (`branch`).",
    )
    full_text: bool = Field(
        default=False,
        description="Whether the prompt is trained too: plain autoregressive training, as the "
        "paper describes it. Otherwise the completion alone is.",
    )


class BalanceSection(Section):
    """What each row weighs beside others."""

    sets: Balance = Field(
        default="natural",
        description="What the sets weigh together: as much as they have rows (`natural`), as the "
        "square root of that (`sqrt`), or all the same (`equal`).",
    )
    labels: Balance = Field(
        default="natural",
        description="What the labels of a question weigh, in the same three ways.",
    )
    set_weights: Mapping[SetName, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Set to a factor on what its rows weigh, after `sets`; 1 for a set that is "
        "not named.",
    )
    repeats: Mapping[SetName, Annotated[float, Field(gt=0, le=100)]] = Field(
        default_factory=dict,
        description="Set to how often its posts come in an epoch; 1 for a set that is not named. "
        "Of a fraction that share of the posts is drawn with the seed. The set weighs as if it had "
        "that many rows.",
    )
    explanation_share: Share = Field(
        default=1.0,
        description="Share of the explained rows that are trained with their explanation in an "
        "epoch; the others train their answer sentence alone. Rows that repeat are drawn anew.",
    )
    explanation_shares: Mapping[SetName, Share] = Field(
        default_factory=dict,
        description="Set to a share of its own, in place of `explanation_share`.",
    )
    alone_share: Share = Field(
        default=0.0,
        description="Share of the explained rows whose explanation is besides read alone, in the "
        "place of the post, with the row's question and answer: what the service's consistency "
        "check asks.",
    )

    def share_explained(self, set_id: str) -> float:
        """The share of a set's explained rows that are trained with their explanation."""
        return self.explanation_shares.get(set_id, self.explanation_share)


class MethodSection(Section):
    """Which weights are trained."""

    kind: Literal["full", "lora", "qlora"] = Field(
        default="full",
        description="`full` trains all weights; `lora` a low-rank adapter beside them; `qlora` an "
        "adapter beside 4-bit weights, which needs a GPU and the package bitsandbytes.",
    )
    frozen_layers: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Number of first transformer layers that `full` leaves as they are, and "
        "the embeddings with them. What is not trained costs no backward pass, and an adapter "
        "made of the change spends nothing on it.",
    )
    rank: int = Field(default=16, ge=1, le=1024, description="Rank of the adapter.")
    alpha: float = Field(
        default=32.0, gt=0, description="The adapter's product is scaled by alpha / rank."
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Dropout on the adapter's input."
    )
    targets: tuple[str, ...] | Literal["all-linear"] = Field(
        default="all-linear",
        description="Names of the modules that get an adapter, such as `[q_proj, v_proj]`; "
        "`all-linear` is every linear layer but the output head.",
    )
    train_embeddings: bool = Field(
        default=False,
        description="Whether embeddings and output head are trained in full beside an adapter.",
    )


class OptimisationSection(Section):
    """How the weights move."""

    epochs: float = Field(default=3.0, gt=0, description="Passes over the rows.")
    max_steps: Count | None = Field(
        default=None, description="Steps after which training ends, whatever `epochs` says."
    )
    batch_sequences: Count = Field(
        default=8, description="Sequences in one forward pass on one device."
    )
    gradient_accumulation: Count = Field(
        default=1,
        description="Forward passes to one step. Sequences in a step: `batch_sequences` times this "
        "times the number of processes.",
    )
    learning_rate: float = Field(default=2e-5, gt=0, lt=1, description="The highest learning rate.")
    schedule: Literal["cosine", "linear", "constant", "warmup_stable_decay"] = Field(
        default="cosine",
        description="How the learning rate moves after the warm-up: down to 0 along a `cosine` or "
        "a line, not at all, or not until the last tenth (`warmup_stable_decay`).",
    )
    warmup: float = Field(
        default=0.03,
        ge=0,
        description="Steps in which the learning rate rises from 0: a share of all if below 1, "
        "else a whole number.",
    )
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's weight decay.")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=(0.9, 0.999), description="AdamW's two decay rates."
    )
    epsilon: float = Field(default=1e-8, gt=0, description="AdamW's epsilon.")
    max_grad_norm: float = Field(
        default=1.0, ge=0, description="Norm to which gradients are clipped; 0 clips none."
    )
    optimizer: Literal[
        "adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor"
    ] = Field(
        default="adamw_torch_fused",
        description="The optimizer, by transformers' name. The 8-bit ones need a GPU and the "
        "package bitsandbytes.",
    )
    average_last: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Number of last checkpoints whose weights are averaged into the result; 0 "
        "takes the best or the last as it is.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.warmup >= 1 and self.warmup != int(self.warmup):
            raise ValueError("`warmup` must be a share below 1 or a whole number of steps")
        return self


class PrecisionSection(Section):
    """In what numbers the work is done, and what is traded for memory."""

    weights: Literal["float32", "bfloat16"] = Field(
        default="bfloat16",
        description="What the trained weights are kept in. The optimizer's state is kept in the "
        "same.",
    )
    bf16: bool = Field(
        default=True, description="Whether matrix products run in bfloat16 (autocast)."
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Whether activations are computed again in the backward pass: much less "
        "memory, about a third more time.",
    )
    compile: bool = Field(default=False, description="Whether the model is compiled (torch).")


class EvaluationSection(Section):
    """What is measured on the validation rows while training."""

    every: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Steps between two evaluations by label reads; 0 is never."
    )
    rows_per_set: Count = Field(
        default=150, description="Validation rows of each set, drawn with the seed."
    )
    batch_tokens: Count = Field(
        default=8192, description="Most tokens, padding included, in one forward pass."
    )
    patience: Count | None = Field(
        default=None,
        description="Evaluations without a better metric after which training ends; null goes on "
        "to the end.",
    )
    metric: Literal["mean_weighted_f1"] = Field(
        default="mean_weighted_f1",
        description="What the best checkpoint is chosen by: weighted F1, averaged over the sets.",
    )


class CheckpointsSection(Section):
    """What is kept on disk while training."""

    every: Annotated[int, Field(ge=0)] = Field(
        default=500, description="Steps between two checkpoints; 0 keeps none until the end."
    )
    keep: Count | None = Field(
        default=2, description="Number of last checkpoints kept beside the best; all if null."
    )
