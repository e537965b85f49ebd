"""Chat completions of a model that was trained on bare queries get bare queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imhi.tasks import QUESTIONS
from imhi.wording import render_query
from service.analysis.manifest import PromptStyle, assumed_manifest, write_manifest
from service.chat_template import served_template
from service.models import ResolvedModel
from tests.tokenizers import POST, sentencepiece_tokenizer, word_tokenizer

QUERY = render_query(POST, QUESTIONS["depression"])


def legacy(tokenizer: Any) -> Any:
    """Llama 2's own file: every piece between special tokens begins like a text."""
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.pre_tokenizer = None
    return tokenizer


def saved(tokenizer: Any, folder: Path, style: PromptStyle) -> ResolvedModel:
    tokenizer.save_pretrained(folder)
    manifest = assumed_manifest("a/b", has_chat_template=True)
    write_manifest(folder, manifest.model_copy(update={"prompt_style": style}))
    return ResolvedModel(str(folder), "name", embedded=False)


@pytest.mark.parametrize("family", ["words", "llama", "llama legacy"])
def test_a_query_becomes_the_tokens_that_the_model_was_trained_on(
    tmp_path: Path, family: str
) -> None:
    made = word_tokenizer() if family == "words" else sentencepiece_tokenizer(tmp_path)
    if family == "llama legacy":
        made = legacy(made)
    template = served_template(saved(made, tmp_path / "model", PromptStyle.BARE))
    chat = [{"role": "user", "content": QUERY}]
    # As vLLM does it: special tokens are the template's to add.
    text = made.apply_chat_template(
        chat, chat_template=template, tokenize=False, add_generation_prompt=True
    )
    assert made(text, add_special_tokens=False)["input_ids"] == made(QUERY)["input_ids"]
    assert (made.bos_token is not None and text.startswith(made.bos_token)) is (family != "words")


def test_messages_stand_below_each_other(tmp_path: Path) -> None:
    template = served_template(saved(word_tokenizer(), tmp_path, PromptStyle.BARE))
    assert template is not None
    chat = [{"role": role, "content": role} for role in ("system", "user")]
    rendered = word_tokenizer().apply_chat_template(chat, chat_template=template, tokenize=False)
    assert rendered == "system\nuser"
    assert "\n" not in template  # vLLM's option takes one line


def test_a_chat_model_keeps_its_own(tmp_path: Path) -> None:
    assert served_template(saved(word_tokenizer(), tmp_path, PromptStyle.CHAT)) is None
    assert served_template(ResolvedModel("example/other", "other", embedded=False)) is None


def test_the_papers_checkpoints_are_known_by_name() -> None:
    model = ResolvedModel("klyang/MentaLLaMA-chat-7B", "x", embedded=False)
    assert (served_template(model) or "").startswith("{{ bos_token }}")


@pytest.mark.parametrize("text", [None, "{"])
def test_without_the_tokenizers_file_it_is_taken_for_the_papers_kind(
    tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "tokenizer.json").write_text(text)
    template = served_template(ResolvedModel(str(tmp_path), "x", embedded=False))
    assert (template or "").startswith("{{ bos_token }}")
