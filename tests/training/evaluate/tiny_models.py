"""Random models of a few thousand weights, and a tokenizer of words, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_TEXT = """
the poster says they cannot sleep and miss home it is hard to be alone at night work money sister
calls quiet week nobody asks why tired so
"""
WORDS = _TEXT.split()


def tokenizer(folder: Path, *, model_max_length: int | None = 64) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {
        word: index for index, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])
    }
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    limit = {} if model_max_length is None else {"model_max_length": model_max_length}
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        **limit,
    )
    wrapped.save_pretrained(folder)
    return wrapped


def save_encoder(folder: Path, *, model_max_length: int | None = 64) -> Path:
    """A BERT of two layers."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer(folder, model_max_length=model_max_length)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS) + 4,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=1,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def save_seq2seq(folder: Path) -> Path:
    """A BART of one layer a side."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    tokenizer(folder)
    torch.manual_seed(2)
    config = BartConfig(
        vocab_size=len(WORDS) + 4,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        init_std=0.5,
    )
    BartForConditionalGeneration(config).save_pretrained(folder)
    return folder
