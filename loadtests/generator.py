r"""vLLM's load generator (`vllm bench serve`) on `POST /analyze`.

Closed and open loops, percentiles and goodput are vLLM's. What is added is the request function for
`/analyze`: a prompt of its data set is the JSON body of a request. As a command it prepares posts
and passes every option after `--` on:

    python -m loadtests.generator http://127.0.0.1:8000 --explain -- --request-rate 2 \
        --goodput ttft:1000 e2el:5000

TTFT is the time to the first label, TPOT the rest of the answer by its generated tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import aiohttp
import typer

from imhi.tasks import DATASETS, QUESTIONS, Question
from loadtests.workload import Item, count_tokens, mixed, of_length
from service.cli.failures import failures_reported
from service.cli.terminal import notice
from service.errors import InvalidRequestError
from service.models import resolve_model
from training.files import write_text

EXPLANATION_TOKENS = 256
"""Most tokens of an explanation; vLLM's generator has the same limit for completions."""

ALL: tuple[Question, ...] = tuple(QUESTIONS.values())

BACKEND = "mentalllama"

NO_REUSE = MappingProxyType({"Connection": "close"})
"""vLLM closes idle connections after seconds: a request that crosses with that would be lost."""

Body = Mapping[str, Any]


class FailedAnswerError(Exception):
    """An answer that is an error; the message is its status or code, never its text."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as the load generator counts it.

    Attributes:
        first: when the first label came, on `time.perf_counter`'s clock; None for with the rest.
        prompt_tokens: of all prompts.
        tokens: that were generated.
    """

    first: float | None = None
    prompt_tokens: int = 0
    tokens: int = 0


Ask = Callable[[aiohttp.ClientSession, str, Body], Awaitable[Answered]]
"""Sends one body to a URL and waits for the whole answer; what it raises is the request's error."""


def body_of(post: str, questions: Sequence[Question], **fields: object) -> dict[str, Any]:
    """The body of a request to `/analyze`, without explanations where `fields` ask for none."""
    asked = {"text": post, "questions": [question.id for question in questions]}
    usual = {"explain": "never", "explanation_tokens": EXPLANATION_TOKENS, "truncation": "middle"}
    return {**asked, **usual, **fields}


def question_of(item: Item) -> Question:
    """A question of the set that the post's length was drawn from."""
    return DATASETS[item.set].questions[0] if item.set else QUESTIONS["stress"]


async def ask(session: aiohttp.ClientSession, url: str, body: Body) -> Answered:
    """Send a request to `/analyze`, streamed or not.

    Raises:
        FailedAnswerError: the answer is an error.
        aiohttp.ClientError: the connection failed.
    """
    key = os.environ.get("OPENAI_API_KEY")  # where vLLM's generator looks for one
    headers = {**NO_REUSE, **({"Authorization": f"Bearer {key}"} if key else {})}
    first = None
    async with session.post(url, json=body, headers=headers) as response:
        if response.status != 200:
            raise FailedAnswerError(f"status {response.status}")
        if not body.get("stream"):
            return _answered(await response.json(), first)
        name = ""
        async for line in response.content:
            text = line.decode().rstrip("\r\n")
            if text.startswith("event: "):
                name = text.removeprefix("event: ")
                if name == "label" and first is None:
                    first = time.perf_counter()
            elif text.startswith("data: ") and name == "result":
                return _answered(json.loads(text.removeprefix("data: ")), first)
    raise FailedAnswerError("a stream without a result")


def _answered(answer: Body, first: float | None) -> Answered:
    [result] = answer["results"]
    if result.get("error"):
        raise FailedAnswerError(result["error"]["code"])
    usage = answer["usage"]
    return Answered(first, usage["prompt_tokens"], usage["completion_tokens"])


def request_function(asking: Ask) -> Callable[..., Awaitable[Any]]:
    """A way of asking as vLLM's load generator calls it (`RequestFunc`)."""
    from vllm.benchmarks.lib.endpoint_request_func import RequestFuncOutput

    async def send(
        request_func_input: Any, session: aiohttp.ClientSession, pbar: Any = None
    ) -> Any:
        output = RequestFuncOutput(start_time=time.perf_counter())
        body = json.loads(request_func_input.prompt)
        answered = None
        try:
            answered = await asking(session, request_func_input.api_url, body)
        except FailedAnswerError as error:
            output.error = str(error)
        except Exception as error:  # noqa: BLE001 - whatever a client library raises
            # A failure is a result here; its text could hold what was sent, its name cannot.
            output.error = type(error).__name__
        output.latency = output.ttft = time.perf_counter() - output.start_time
        if answered is not None:
            output.success = True
            output.prompt_len, output.output_tokens = answered.prompt_tokens, answered.tokens
            if answered.first is not None:
                output.ttft = answered.first - output.start_time
        if pbar is not None:
            pbar.update(1)
        return output

    return send


async def drive(
    url: str,
    prompts: Sequence[str | Body],
    *options: str,
    asking: Ask = ask,
    backend: str = BACKEND,
    endpoint: str = "/analyze",
    model: str = BACKEND,
    tokenizer: str = "",
    quiet: bool = True,
) -> dict[str, Any]:
    """Run vLLM's load generator in this process.

    Args:
        url: of the server.
        prompts: texts, or for our own backend bodies; each is sent once, in order.
        options: of `vllm bench serve`, such as `--max-concurrency 32` or `--request-rate 2`.
        asking: for our own backend, sends a body.
        backend: another of vLLM's, such as `openai-chat`.
        endpoint: the path.
        model: as it is served.
        tokenizer: a directory; without one, vLLM gives no TTFT and no TPOT.
        quiet: leave vLLM's own report out.

    Returns:
        What `vllm bench serve --save-detailed` writes, without texts: rates, percentiles, and a
        value for each request under `latencies`, `start_times` and `errors`.
    """
    from vllm.benchmarks import serve
    from vllm.benchmarks.lib.endpoint_request_func import ASYNC_REQUEST_FUNCS
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    ASYNC_REQUEST_FUNCS[BACKEND] = request_function(asking)
    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/prompts.jsonl"
        texts = (one if isinstance(one, str) else json.dumps(one) for one in prompts)
        lines = (json.dumps({"prompt": text}) for text in texts)
        write_text(Path(file), "".join(f"{line}\n" for line in lines))
        arguments = ["--base-url", url, "--endpoint", endpoint, "--backend", backend]
        arguments += ["--dataset-name", "custom", "--dataset-path", file, "--disable-shuffle"]
        arguments += ["--num-prompts", str(len(prompts)), "--skip-chat-template"]
        arguments += ["--tokenizer", tokenizer] if tokenizer else ["--skip-tokenizer-init"]
        arguments += ["--percentile-metrics", "ttft,tpot,e2el", "--metric-percentiles", "50,95,99"]
        arguments += ["--save-detailed", "--model", model, *options]
        if backend != BACKEND:
            arguments += ["--temperature", "0"]
        if not sys.stderr.isatty():
            arguments.append("--disable-tqdm")
        with contextlib.ExitStack() as stack:
            if quiet:
                stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            # vLLM freezes the heap for its run; what comes after it is collected again.
            stack.callback(gc.unfreeze)
            found: dict[str, Any] = await serve.main_async(parser.parse_args(arguments))
    found.pop("generated_texts", None)
    return found


def main(
    url: Annotated[str, typer.Argument(help="Of the server.")],
    options: Annotated[
        list[str] | None, typer.Argument(help="Options of `vllm bench serve`, after `--`.")
    ] = None,
    posts: Annotated[int, typer.Option(min=1, help="How many posts; each is sent once.")] = 100,
    tokens: Annotated[int, typer.Option(help="Tokens of each post; 0 for IMHI's lengths.")] = 0,
    one: Annotated[bool, typer.Option("--one", help="One question, not all of them.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Explanations, streamed.")] = False,
    model: Annotated[
        str, typer.Option(help="Whose tokenizer counts: `embedded`, a directory or a hub id.")
    ] = "embedded",
) -> None:
    """Load a running server with posts, and print vLLM's report."""
    with failures_reported():
        if not url.startswith(("http://", "https://")):
            raise InvalidRequestError(
                f"{url} is not a URL. Use, for example, http://127.0.0.1:8000."
            )
        path = resolve_model(model, announce=notice).path
        count = count_tokens(path)
        items = of_length(posts, tokens, count) if tokens else mixed(posts, count)
        fields = {"explain": "always" if explain else "never", "stream": explain}
        bodies = [
            body_of(item.post, (question_of(item),) if one else ALL, **fields) for item in items
        ]
        asyncio.run(drive(url.rstrip("/"), bodies, *(options or ()), tokenizer=path, quiet=False))


if __name__ == "__main__":
    typer.run(main)
