"""The OpenAI API of the same server, used through OpenAI's own client."""

from __future__ import annotations

import asyncio
import math
import re
from uuid import uuid4

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import ChoiceLogprobs

from imhi.tasks import QUESTIONS
from imhi.wording import render_query
from tests.e2e.deployment import ADAPTER, KEY, MODEL, authorized
from tests.e2e.posts import LONG, POST
from tests.models import CONTEXT

pytestmark = pytest.mark.engine

MESSAGES = [{"role": "user", "content": "Count from one to ten, in digits."}]
TOP = 5


def test_models(api):
    assert {model.id for model in api.models.list()} == {MODEL, ADAPTER}


def test_a_chat_shows_the_model_a_query_as_it_was_trained_on(api):
    query = render_query(POST, QUESTIONS["stress"])
    wanted = {"model": MODEL, "max_tokens": 8, "temperature": 0}
    chat = api.chat.completions.create(messages=[{"role": "user", "content": query}], **wanted)
    bare = api.completions.create(prompt=query, **wanted)
    assert chat.choices[0].message.role == "assistant"
    assert chat.choices[0].message.content == bare.choices[0].text != ""
    assert chat.choices[0].finish_reason in ("stop", "length")
    assert chat.usage.prompt_tokens == bare.usage.prompt_tokens
    assert 0 < chat.usage.completion_tokens <= 8


def test_chat_stream(api):
    wanted = {"model": MODEL, "messages": MESSAGES, "max_tokens": 12, "temperature": 0}
    whole = api.chat.completions.create(**wanted)
    chunks = list(
        api.chat.completions.create(**wanted, stream=True, stream_options={"include_usage": True})
    )
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert sum(map(bool, pieces)) > 3
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_completion_stream(api):
    wanted = {"model": MODEL, "prompt": POST, "max_tokens": 12, "temperature": 0}
    whole = api.completions.create(**wanted)
    pieces = [chunk.choices[0].text for chunk in api.completions.create(**wanted, stream=True)]
    assert "".join(pieces) == whole.choices[0].text
    assert len(pieces) > 3


def test_several_choices(api):
    done = api.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=4, n=3, seed=1)
    assert [choice.index for choice in done.choices] == [0, 1, 2]


def test_structured_output(api):
    done = api.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Name a colour, as JSON."}],
        max_tokens=64,
        temperature=0,
        extra_body={"structured_outputs": {"regex": '\\{"colour":"(red|blue)"\\}'}},
    )
    assert re.fullmatch(r'\{"colour":"(red|blue)"\}', done.choices[0].message.content)


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_refused(api, stream):
    with pytest.raises(openai.NotFoundError) as refused:
        api.chat.completions.create(model="no-such-model", messages=MESSAGES, stream=stream)
    error = refused.value
    assert (error.code, error.param, error.type) == (
        "unknown_name",
        "model",
        "invalid_request_error",
    )
    assert error.body["request_id"] == error.request_id
    assert MODEL in error.body["message"]
    assert "no-such-model" not in error.body["message"]


def test_a_prompt_beyond_the_context_is_refused(api):
    with pytest.raises(openai.BadRequestError) as refused:
        api.completions.create(model=MODEL, prompt=LONG, max_tokens=1)
    assert refused.value.code == "text_too_long"
    assert str(CONTEXT) in refused.value.body["message"]


def ask_for_logprobs() -> dict[str, object]:
    return {
        "model": MODEL,
        "messages": MESSAGES,
        "max_tokens": 10,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": TOP,
    }


def check_logprobs(logprobs: ChoiceLogprobs | None) -> None:
    """As many alternatives as asked for at each place, finite, the most probable first."""
    assert logprobs is not None
    assert logprobs.content
    for place in logprobs.content:
        values = [top.logprob for top in place.top_logprobs]
        assert len(values) == TOP
        assert all(-100 < value <= 0 for value in values), values
        assert values == sorted(values, reverse=True)
        # Greedy: what was chosen is the first.
        assert place.top_logprobs[0].token == place.token
        assert place.logprob == pytest.approx(values[0])
        assert math.fsum(map(math.exp, values)) <= 1 + 1e-6


async def under_label_reads(url: str) -> tuple[ChatCompletion, list[ChatCompletion]]:
    """A chat completion with logprobs alone, and four while posts are being read."""
    done = False

    async def read_labels(client: httpx.AsyncClient) -> None:
        while not done:
            body = {"text": f"{uuid4()} {POST}", "explain": "never"}
            (await client.post("/analyze", json=body)).raise_for_status()

    async with (
        httpx.AsyncClient(base_url=url, headers=authorized(KEY), timeout=120) as http,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as api,
    ):
        alone = await api.chat.completions.create(**ask_for_logprobs())
        readers = [asyncio.create_task(read_labels(http)) for _ in range(3)]
        try:
            busy = await asyncio.gather(
                *(api.chat.completions.create(**ask_for_logprobs()) for _ in range(4))
            )
        finally:
            done = True
            await asyncio.gather(*readers)
    return alone, busy


def test_logprobs_are_right_beside_label_reads(server):
    alone, busy = asyncio.run(under_label_reads(server.url))
    check_logprobs(alone.choices[0].logprobs)
    for one in busy:
        check_logprobs(one.choices[0].logprobs)
        places = zip(
            alone.choices[0].logprobs.content, one.choices[0].logprobs.content, strict=True
        )
        for expected, found in places:
            assert expected.token == found.token
            before = [top.logprob for top in expected.top_logprobs]
            assert before == pytest.approx([top.logprob for top in found.top_logprobs], abs=0.01)


def test_label_reads_are_right_beside_logprobs(server, analyze):
    """The other way round: what a chat asks for changes no label."""
    expected = analyze(explain="never")["results"][0]["answers"]

    async def both() -> list[dict]:
        async with (
            httpx.AsyncClient(base_url=server.url, headers=authorized(KEY), timeout=120) as http,
            openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY) as api,
        ):
            chat = [
                asyncio.create_task(
                    api.chat.completions.create(**ask_for_logprobs() | {"max_tokens": 256})
                )
                for _ in range(4)
            ]
            await asyncio.sleep(0.1)
            body = {"text": POST, "explain": "never"}
            reads = await asyncio.gather(*(http.post("/analyze", json=body) for _ in range(3)))
            await asyncio.gather(*chat)
        return [read.json()["results"][0]["answers"] for read in reads]

    for answers in asyncio.run(both()):
        for one, other in zip(expected, answers, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-3)
            assert one["label_mass"] == pytest.approx(other["label_mass"], rel=1e-2)
