"""What plain transformers says of a post, to compare the service with.

It takes nothing from the service: the prompt is rendered as text, each full answer sentence after
it is tokenized as a whole, and all answers of a question go through the model as one batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from imhi.tasks import Question
from imhi.wording import REASONING, render_query
from service.analysis.types import Scoring
from tests.models import merge_adapter

Distributions = Mapping[str, Mapping[str, float]]
"""By question, then by label."""


class Reference:
    """A model in transformers, in float32.

    Args:
        directory: the model's.
        chat: whether its prompts are rendered by the chat template.
        adapter: a LoRA adapter to merge into the weights.
    """

    def __init__(self, directory: Path, *, chat: bool = False, adapter: Path | None = None) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(directory)
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
        if adapter is not None:
            merge_adapter(model, adapter)
        self._model = model
        self._chat = chat

    def distributions(
        self, post: str, questions: Iterable[Question]
    ) -> Mapping[Scoring, Distributions]:
        """Each question's distribution, from the log-probability of every token of every answer."""
        result: dict[Scoring, dict[str, Mapping[str, float]]] = {one: {} for one in Scoring}
        for question in questions:
            for scoring, scores in self._scores(post, question).items():
                result[scoring][question.id] = _normalized(scores)
        return result

    def explanation(self, post: str, question: Question, label: str, tokens: int) -> str:
        """The greedy continuation of an answer sentence."""
        import torch

        text = self._prompt(post, question) + f" {question.label(label).answer}{REASONING}"
        ids = torch.tensor([self._encode(text)])
        output = self._model.generate(
            ids,
            max_new_tokens=tokens,
            do_sample=False,
            attention_mask=torch.ones_like(ids),
            pad_token_id=0,
        )
        said: str = self._tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        return said

    def _scores(self, post: str, question: Question) -> Mapping[Scoring, Mapping[str, float]]:
        import torch

        prompt = self._prompt(post, question)
        separator = "" if self._chat else " "
        start = len(self._encode(prompt))
        sentences = [self._encode(prompt + separator + one.answer) for one in question.labels]
        longest = max(map(len, sentences))
        # Padded at the end, where nothing that counts can look at it.
        batch = torch.tensor([ids + [0] * (longest - len(ids)) for ids in sentences])
        with torch.no_grad():
            # Logits from the prompt's last token on: nothing is read of those before it.
            logits = self._model(batch, logits_to_keep=longest - start + 1).logits
        scores: dict[Scoring, dict[str, float]] = {scoring: {} for scoring in Scoring}
        for label, ids, after in zip(
            question.labels, sentences, logits.log_softmax(-1), strict=True
        ):
            whole = branches = 0.0
            for position in range(start, len(ids)):
                row = after[position - start]
                whole += row[ids[position]].item()
                # Relative to what the answers allow here, given what was said so far.
                allowed = {
                    other[position]
                    for other in sentences
                    if len(other) > position and other[:position] == ids[:position]
                }
                branches += (row[ids[position]] - row[sorted(allowed)].logsumexp(0)).item()
            scores[Scoring.SENTENCES][label.id] = whole
            scores[Scoring.BRANCHES][label.id] = branches
        return scores

    def _prompt(self, post: str, question: Question) -> str:
        query = render_query(post, question)
        if not self._chat:
            return query
        rendered: str = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": query}], tokenize=False, add_generation_prompt=True
        )
        return rendered

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=not self._chat)["input_ids"])


def apart(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Total variation distance."""
    assert one.keys() == other.keys()
    return sum(abs(one[label] - other[label]) for label in one) / 2


def _normalized(scores: Mapping[str, float]) -> Mapping[str, float]:
    top = max(scores.values())
    total = sum(math.exp(score - top) for score in scores.values())
    return {label: math.exp(score - top) / total for label, score in scores.items()}
