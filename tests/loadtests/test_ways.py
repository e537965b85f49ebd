"""The ways of asking: the same reads, on prompts that differ in order alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from imhi.tasks import QUESTIONS
from loadtests.posts import POSTS
from loadtests.ways import AsShipped, QuestionFirst
from service.analysis.engine import RequestContext, TokenRead
from service.analysis.manifest import PromptStyle
from tests.loadtests.benches import fake_bench
from tests.service.analysis.engines import FakeEngine
from tests.tokenizers import word_tokenizer


class RecordingEngine(FakeEngine):
    """Keeps what was read, by request and suffix; a third of every prompt is cached."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: dict[tuple[str, str], tuple[tuple[int, ...], tuple[int, ...]]] = {}

    async def read(
        self, prompt: Sequence[int], token_ids: Sequence[int], context: RequestContext, suffix: str
    ) -> TokenRead:
        key = (context.request_id, suffix)
        assert key not in self.reads, "vLLM refuses a second request of the same name"
        self.reads[key] = (tuple(prompt), tuple(token_ids))
        read = await super().read(prompt, token_ids, context, suffix)
        return TokenRead(read.logprobs, read.prompt_tokens, len(prompt) // 3)


async def test_question_first_reads_at_the_same_branches_as_shipped() -> None:
    shipped, turned = RecordingEngine(), RecordingEngine()
    first = await AsShipped(fake_bench(shipped).analyzer).ask(POSTS[:2], "same")
    second = await QuestionFirst(turned, word_tokenizer(), PromptStyle.CHAT).ask(POSTS[:2], "same")
    assert turned.reads.keys() == shipped.reads.keys()
    answer = word_tokenizer().convert_tokens_to_ids("<|assistant|>")
    for name, (prompt, read) in shipped.reads.items():
        other, other_read = turned.reads[name]
        assert other_read == read
        assert other[other.index(answer) :] == prompt[prompt.index(answer) :]
        assert other != prompt
    for done, engine in ((first, shipped), (second, turned)):
        prompts = [prompt for prompt, _ in engine.reads.values()]
        assert done.labels == done.answers == 2 * len(QUESTIONS)
        assert done.usage.prompt_tokens == sum(map(len, prompts))
        assert done.usage.cached_tokens == sum(len(prompt) // 3 for prompt in prompts)


@pytest.mark.parametrize(
    ("style", "before", "after"),
    [(PromptStyle.CHAT, "<|user|>", "<|end|><|assistant|>"), (PromptStyle.BARE, "", "")],
)
def test_the_question_stands_before_the_post(style: PromptStyle, before: str, after: str) -> None:
    tokenizer, question = word_tokenizer(), QUESTIONS["stress"]
    prompt = QuestionFirst(FakeEngine(), tokenizer, style).prompt("It is the post.", question)
    text = (
        f"{before}Question: Does the poster suffer from stress? "
        f'Consider this post: "It is the post."{after}'
    )
    assert prompt == tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
