"""Small tokenizers of the families that the analysis is tested on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from imhi.tasks import QUESTIONS
from imhi.wording import QUERY_HEAD, REASONING, render_query

POST = "I could not sleep, and my sister asked why. I said 'work'."
WHOLE_ANSWERS = [label.answer for question in QUESTIONS.values() for label in question.labels]
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def word_tokenizer(whole: Sequence[str] = (), template: str | None = TEMPLATE) -> Any:
    """A tokenizer of words; each of the `whole` texts is one token, with the space before it."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    text = QUERY_HEAD + " ".join(
        f'" Question: {question.text} Reasoning: ' + " ".join(one.answer for one in question.labels)
        for question in QUESTIONS.values()
    )
    splitter = pre_tokenizers.Whitespace()
    words = dict.fromkeys(word for word, _ in splitter.pre_tokenize_str(text))
    vocabulary = {word: index for index, word in enumerate(["[UNK]", "[END]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = splitter
    tokenizer.add_tokens([AddedToken(one, lstrip=True, normalized=False) for one in whole])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        eos_token="[END]",
        additional_special_tokens=["<|user|>", "<|assistant|>", "<|end|>"],
    )
    wrapped.chat_template = template
    return wrapped


def _corpus() -> Iterator[str]:
    for question in QUESTIONS.values():
        for label in question.labels:
            yield f"{render_query(POST, question)} {label.answer}{REASONING} It says so."


def sentencepiece_tokenizer(folder: Path) -> Any:
    """Llama-2's kind: SentencePiece BPE with byte fallback, a mark before words, and BOS."""
    import sentencepiece
    from transformers import LlamaTokenizer

    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(_corpus()))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=600,
        hard_vocab_limit=False,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return LlamaTokenizer.from_pretrained(folder, add_bos_token=True)


def byte_level_tokenizer() -> Any:
    """GPT-2's kind, as SmolLM2's and Qwen's: bytes, no BOS, and ChatML's control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<file_sep>"]
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=control,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=control[0],
        eos_token=control[2],
        additional_special_tokens=[control[1], control[3]],
    )
    wrapped.chat_template = CHATML
    return wrapped


def blind_tokenizer() -> Any:
    """A tokenizer to which every text is one unknown token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[END]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(r"[\s\S]+", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[END]")
