"""What tests of the core share: a byte-level tokenizer, tiny models that have it, short recipes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from imhi.tasks import DATASETS, QUESTIONS, Question
from imhi.wording import QUERY_HEAD, REASONING
from service.analysis.manifest import PromptStyle
from service.analysis.prompt import PromptEncoder
from tests.tokenizers import TEMPLATE
from tests.training.sft import recipes
from training.data.example import Example, Origin, Split
from training.sft.overrides import resolve
from training.sft.recipe import Recipe

POST = "The rent is due, and my sister does not call. I slept four hours."
EXPLANATION = "The poster is short of money and of sleep."


@functools.cache
def _backend() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    text = [
        f'{QUERY_HEAD}x" Question: {question.text} {label.answer}{REASONING} It says so.'
        for question in QUESTIONS.values()
        for label in question.labels
    ]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(text, trainer)
    return made


def tokenizer(*, bos: bool = False) -> Any:
    """A byte-level BPE that knows the questions' words; `bos`: it puts <s> before a text."""
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer.from_str(_backend().to_str())
    if bos:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
        )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=["<|user|>", "<|assistant|>", "<|end|>"],
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def encoder(style: PromptStyle = PromptStyle.BARE, *, bos: bool = False) -> PromptEncoder:
    return PromptEncoder(tokenizer(bos=bos), style)


def base(folder: Path, architecture: str = "LlamaForCausalLM", **changes: Any) -> Path:
    """A tiny random model, with its tokenizer, whose next-token distributions are not flat."""
    own = tokenizer()
    shape = {
        "vocab_size": len(own),
        "hidden_size": 32,
        "intermediate_size": 64,
        "head_dim": 8,
        "initializer_range": 0.15,
        "pad_token_id": own.pad_token_id,
        "bos_token_id": own.bos_token_id,
        "eos_token_id": own.eos_token_id,
    }
    recipes.tiny(folder, architecture, **(shape | changes))
    own.save_pretrained(folder)
    return folder


def load(folder: Path, attention: str = "sdpa") -> Any:
    """The model in float32, with the sparse head."""
    from transformers import AutoModelForCausalLM

    from training.sft import attention as own
    from training.sft.losses import add_sparse_head

    own.register()
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention)
    add_sparse_head(model)
    return model


def example(question: Question, *, label: int = 0, row: int = 1, **changes: Any) -> Example:
    """An explained training row of the first set that asks the question."""
    name = next(name for name, asked in questions() if asked == question)
    values: dict[str, Any] = {
        "post": POST,
        "question": question,
        "label": question.labels[label],
        "origin": Origin.REFERENCE,
        "set": name,
        "split": Split.TRAIN,
        "source": f"{name}/train.csv",
        "row": row,
        "explanation": EXPLANATION,
    }
    return Example(**(values | changes))


def questions() -> list[tuple[str, Question]]:
    """Every set with each of its questions."""
    return [
        (name, question) for name, dataset in DATASETS.items() for question in dataset.questions
    ]


SHORT = (
    "layout=padded",
    "loss.answer_weight=0.5",
    "loss.normalise=example",
    "balance.sets=natural",
    "model.attention=sdpa",
    "pad_to_multiple_of=8",
    "precision.bf16=false",
    "precision.weights=float32",
    "precision.gradient_checkpointing=false",
    "optimisation.batch_sequences=2",
    "optimisation.gradient_accumulation=1",
    "optimisation.learning_rate=1e-2",
    "optimisation.warmup=2",
    "evaluation.every=0",
    "evaluation.patience=null",
    "checkpoints.every=0",
    "log_every=1",
)
"""Turns the recipe `qwen3-0.6b` into a plain run in float32 of a second or two."""


def recipe(*overrides: str, name: str = "qwen3-0.6b") -> Recipe:
    return resolve(name, [*SHORT, *overrides]).recipe
