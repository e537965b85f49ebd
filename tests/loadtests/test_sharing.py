"""Both orders of post and question: the same reads, on prompts that differ in order alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from imhi.tasks import QUESTIONS
from loadtests import engine
from loadtests.sharing import ALL, QUESTION_FIRST, SHIPPED, QuestionFirst, measure, table
from loadtests.workload import POSTS
from service.analysis.engine import RequestContext, TokenRead
from service.analysis.manifest import PromptStyle
from service.analysis.types import Explain, Options
from tests.loadtests.engines import FakeClient, fake_engine
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
        return replace(read, cached_tokens=len(prompt) // 3)


async def test_question_first_reads_at_the_same_branches_as_shipped() -> None:
    shipped, turned = RecordingEngine(), RecordingEngine()
    options = Options(explain=Explain.NEVER)
    await fake_engine(shipped).analyzer.analyze(POSTS[0], ALL, options, "same")
    usage = await QuestionFirst(turned, word_tokenizer(), PromptStyle.CHAT).read(POSTS[0], "same")
    assert turned.reads.keys() == shipped.reads.keys()
    answer = word_tokenizer().convert_tokens_to_ids("<|assistant|>")
    for name, (prompt, read) in shipped.reads.items():
        other, other_read = turned.reads[name]
        assert other_read == read
        assert other[other.index(answer) :] == prompt[prompt.index(answer) :]
        assert other != prompt
    prompts = [prompt for prompt, _ in turned.reads.values()]
    assert usage.prompt_tokens == sum(map(len, prompts))
    assert usage.cached_tokens == sum(len(prompt) // 3 for prompt in prompts)


@pytest.mark.parametrize(
    ("style", "before", "after"),
    [(PromptStyle.CHAT, "<|user|>", "<|end|><|assistant|>"), (PromptStyle.BARE, "", "")],
)
def test_the_question_comes_before_the_post(style: PromptStyle, before: str, after: str) -> None:
    tokenizer, question = word_tokenizer(), QUESTIONS["stress"]
    prompt = QuestionFirst(FakeEngine(), tokenizer, style).prompt("It is the post.", question)
    text = (
        f"{before}Question: Does the poster suffer from stress? "
        f'Consider this post: "It is the post."{after}'
    )
    assert prompt == tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


async def test_orders_take_turns_and_each_starts_with_an_empty_cache() -> None:
    client, local = FakeClient(), RecordingEngine()
    found = await measure(fake_engine(local, client), POSTS[:3], rounds=2)
    assert client.emptied == 2 * (1 + 2)
    assert {order: len(row["rounds"]) for order, row in found["orders"].items()} == {
        SHIPPED: 2,
        QUESTION_FIRST: 2,
    }
    assert all(row["cached_tokens"] < row["prompt_tokens"] for row in found["orders"].values())
    assert [row[0] for row in table(found).rows] == [SHIPPED, QUESTION_FIRST]


async def test_a_cache_that_stays_in_use_stops_the_measurement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "_PAUSE", 0)
    client = FakeClient(refusals=3)
    await fake_engine(client=client).empty_cache()
    assert client.emptied == 1
    with pytest.raises(TimeoutError, match="still in use"):
        await fake_engine(client=FakeClient(refusals=10_000)).empty_cache()
