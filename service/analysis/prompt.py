"""Posts and questions as prompt tokens.

A prompt has two parts. The *shared* part runs from the start to `Question:` and holds the post; it
is the same for all questions on a post, so the engine's prefix cache computes it once. The *tail*
is one question and whatever the chat template puts after it; tails and the tokens of the answers
are made once, at start-up, in the context in which they will stand.

A post is never control: where tokenizing it would give a special token, it is tokenized again with
special tokens switched off, so that `<|im_end|>` in a post is eight ordinary characters.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imhi.tasks import Question
from imhi.wording import ANSWER_SEPARATOR, QUERY_HEAD, REASONING, escape_post, query_tail
from service.analysis.manifest import PromptStyle
from service.errors import ModelError

_PLACEHOLDER = "MENTALLLAMA-QUERY"
# Where a tail's tokens depend on these, they would depend on any post.
_REFERENCE_POSTS = ("x", "I am tired.", "Why?", "so long…")
_STEM = " Question:"
_LONG_QUESTION = 512
_ENDING = 32
"""Characters of a long question that its answers are encoded with."""


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows the shared part for one question.

    Attributes:
        tokens: from the question's first token to the last before the answers part.
        sentences: label id to the tokens of its answer sentence.
        continuations: label id to the tokens of its answer sentence and ` Reasoning:`.
    """

    tokens: tuple[int, ...]
    sentences: Mapping[str, tuple[int, ...]]
    continuations: Mapping[str, tuple[int, ...]]


class PromptEncoder:
    """Makes prompts for one model, in the style that its manifest names.

    Args:
        tokenizer: the model's own, a Hugging Face tokenizer. What encodes is copied, since
            switching special tokens off changes its state, and the engine uses it from other
            threads.
        style: `bare` puts the query as it is, after the tokens that the tokenizer starts every
            text with; `chat` puts it into the model's chat template as the user's only message.

    Raises:
        ModelError: the style is `chat` and there is no usable chat template.
    """

    def __init__(self, tokenizer: Any, style: PromptStyle) -> None:
        self._backend = _backend(tokenizer)
        self._tokenizer = tokenizer if self._backend else copy.deepcopy(tokenizer)
        # Beside eos and its kind a tokenizer has special tokens without a role, `<file_sep>` say.
        added = self._tokenizer.added_tokens_decoder
        self._special = frozenset(self._tokenizer.all_special_ids) | {
            token for token, known in added.items() if known.special
        }
        self.style = style
        if style is PromptStyle.CHAT:
            self._lead: tuple[int, ...] = ()
            self._before, self._after = self._split_template()
        else:
            started = self._tokenizer("x")["input_ids"]
            alone = self._encode("x")
            self._lead = tuple(started[: max(0, _find(started, alone))])
            self._before, self._after = "", ""
        self._head = self._encode(self._before + QUERY_HEAD)

    def shared(self, post: str) -> tuple[int, ...]:
        """Tokens up to `Question:`, the same for every question on `post`."""
        body = escape_post(post) + '"' + _STEM
        tokens = self._encode(self._before + QUERY_HEAD + body)
        if self._specials(tokens) != self._specials(self._head):
            # The post holds the text of special tokens; on its own it is encoded as mere text.
            tokens = self._head + self._encode(body, plain=True)
        return self._lead + tokens

    def tail(self, question: Question) -> Tail:
        """Tokens of `question` and of each of its answers, as they stand after a shared part."""
        beginning, text = self._split(query_tail(question).removeprefix('"' + _STEM))
        text += self._after
        tokens = self._in_context(text)
        sentences, continuations = {}, {}
        for label in question.labels:
            answer = text + self._separator() + label.answer
            sentences[label.id] = self._in_context(answer)
            continuations[label.id] = self._in_context(answer + REASONING)
        # A tokenizer may merge the end of the question with the start of an answer: the tail is
        # what all of them begin with, the rest belongs to the answers.
        common = _common_prefix([tokens, *sentences.values(), *continuations.values()])
        return Tail(
            tokens=beginning + tokens[:common],
            sentences={label: ids[common:] for label, ids in sentences.items()},
            continuations={label: ids[common:] for label, ids in continuations.items()},
        )

    def following(self, before: str, text: str) -> tuple[int, ...]:
        """Tokens of `text` as they stand right after `before`, where neither is a post."""
        whole, head = self._encode(before + text), self._encode(before)
        return whole[len(head) :] if whole[: len(head)] == head else self._encode(text)

    def holds_control(self, text: str) -> bool:
        """Whether a part of `text` would be read as a special token."""
        return self._encode(text) != self._encode(text, plain=True)

    def _split(self, question: str) -> tuple[tuple[int, ...], str]:
        """Tokens of a long question's beginning, and its last words; of others none, and all.

        An answer's tokens depend on the words right before it: to encode each of many answers with
        the whole of a long question would take seconds and change nothing.
        """
        place = question.rfind(" ", 0, len(question) - _ENDING)
        if len(question) <= _LONG_QUESTION or place <= 0:
            return (), question
        beginning, ending = self._in_context(question[:place]), question[place:]
        if beginning + self._in_context(ending) != self._in_context(question):
            return (), question
        return beginning, ending

    def _in_context(self, text: str) -> tuple[int, ...]:
        """Tokens of `text` as they stand after a shared part, whatever its post is."""
        found = set()
        for post in _REFERENCE_POSTS:
            context = self._before + QUERY_HEAD + post + '"' + _STEM
            whole, head = self._encode(context + text), self._encode(context)
            if whole[: len(head)] != head:
                return self._encode(text)
            found.add(whole[len(head) :])
        return found.pop() if len(found) == 1 else self._encode(text)

    def _separator(self) -> str:
        """What stands between prompt and answer: nothing where the template already ends a word."""
        if not self._after:
            return ANSWER_SEPARATOR
        ended = self._after[-1].isspace() or self._encode(self._after)[-1] in self._special
        return "" if ended else ANSWER_SEPARATOR

    def _split_template(self) -> tuple[str, str]:
        try:
            rendered = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": _PLACEHOLDER}],
                tokenize=False,
                add_generation_prompt=True,
            )
        except Exception as error:  # noqa: BLE001 - a template is a program and may raise anything
            raise ModelError(
                "The prompt style is `chat`, but the model's chat template is missing or cannot be "
                f"used ({type(error).__name__}). Set `prompt_style` to `bare` in mentalllama.json, "
                "or add a chat template to the tokenizer."
            ) from None
        before, found, after = rendered.partition(_PLACEHOLDER)
        if not found:
            raise ModelError(
                "The model's chat template drops the user's message. Set `prompt_style` to `bare` "
                "in mentalllama.json, or mend the template."
            )
        return before, after

    def _encode(self, text: str, *, plain: bool = False) -> tuple[int, ...]:
        if self._backend is not None:
            self._backend.encode_special_tokens = plain
            # The one call that leaves out where in the text each token stands.
            (found,) = self._backend.encode_batch_fast([text], add_special_tokens=False)
            return tuple(found.ids)
        encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=plain)
        return tuple(encoded["input_ids"])

    def _specials(self, tokens: Sequence[int]) -> list[int]:
        return [token for token in tokens if token in self._special]


def _backend(tokenizer: Any) -> Any:
    """A copy of what encodes in a fast tokenizer, which neither cuts nor pads; None of others.

    vLLM's tokenizer is a pool of copies of itself: a copy of that would take half a second.
    """
    backend = copy.deepcopy(getattr(tokenizer, "backend_tokenizer", None))
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    return backend


def _find(tokens: Sequence[int], part: Sequence[int]) -> int:
    """Index at which `part` stands in `tokens`, or -1."""
    for start in range(len(tokens) - len(part) + 1):
        if tuple(tokens[start : start + len(part)]) == tuple(part):
            return start
    return -1


def _common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Number of tokens that all sequences begin with."""
    length = 0
    for column in zip(*sequences, strict=False):
        if len(set(column)) > 1:
            break
        length += 1
    return length
