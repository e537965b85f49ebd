"""What a benchmark runs on: the servers, and posts for all of them.

A server is started when a measurement first asks for it and stays to the end, idle while another
works: what is compared is measured in one run, in turns, on one machine. What is measured before
any is started has the machine to itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from loadtests import servers
from loadtests.clients import Ask, Client, session
from loadtests.drive import closed_loop
from loadtests.latency import Summary, summarise
from loadtests.llama_cpp_server import llama_cpp
from loadtests.needed import Shape
from loadtests.servers import Running
from loadtests.workload import Count
from service.cli.terminal import notice
from service.models import ResolvedModel, resolve_model


class Field:
    """Everything that is measured.

    Attributes:
        web: the client of all servers.
        model: what is served.
        weights: the directory of its weights.
        dtype: the type they are computed in, by ours and so by all rivals.
        folder: for logs and what is made of the weights.
        tokenizer: the model's.
        shape: the model's.
    """

    def __init__(
        self,
        web: aiohttp.ClientSession,
        model: ResolvedModel,
        asked: str,
        folder: Path,
        options: Sequence[str],
        stack: AsyncExitStack,
    ) -> None:
        from transformers import AutoConfig, AutoTokenizer

        self.web = web
        self.model = model
        self.weights = Path(model.path)
        self.folder = folder
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model.path)
        config = AutoConfig.from_pretrained(model.path)
        own = str(config.dtype).removeprefix("torch.")
        self.dtype = servers.served_dtype(model) or own
        width = 4 if self.dtype == "float32" else 2
        self.shape = Shape.of(config.to_dict(), bytes_per_weight=width, bytes_per_cached=width)
        self._asked = asked
        self._options = tuple(options)
        self._stack = stack
        self._started: dict[str, Running] = {}
        self._marks = 0

    @property
    def count(self) -> Count:
        """Counts a text's tokens."""
        return lambda text: len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    async def ours(self) -> Running:
        """Our server.

        Raises:
            StartError: it did not start.
        """
        log = self.folder / "ours.log"
        return await self._once("our server", servers.ours(self._asked, log, self._options))

    async def plain(self) -> Running:
        """vLLM's, on the same weights.

        Raises:
            StartError: it did not start.
        """
        log = self.folder / "plain.log"
        server = servers.plain(self._asked, log, ("--dtype", self.dtype, *self._options))
        return await self._once("a plain vLLM server", server)

    async def llama_cpp(self) -> Running:
        """llama.cpp's, on the same weights.

        Raises:
            AbsentError: it is not installed.
            StartError: it did not start.
        """
        return await self._once("a llama.cpp server", llama_cpp(self.model, self.folder))

    def fresh(self, asks: Sequence[Ask]) -> list[Ask]:
        """The same, marked so that no prefix cache has seen the posts, whoever's it is.

        The mark is a number before the post. A server of ours lets nobody empty its cache.
        """
        self._marks += 1
        mark = 1000 + self._marks  # of one length, so that every way gets as many tokens
        return [replace(ask, post=f"{mark}. {ask.post}") for ask in asks]

    async def measure(self, client: Client, asks: Sequence[Ask], concurrency: int) -> Summary:
        """Ask everything, so many at a time, of posts that no cache holds."""
        return summarise(await closed_loop(self.fresh(asks), client, concurrency))

    async def _once(
        self, name: str, server: contextlib.AbstractAsyncContextManager[Running]
    ) -> Running:
        if name not in self._started:
            notice(f"Starting {name} …")
            started = await self._stack.enter_async_context(server)
            self._started[name] = started
            notice(f"It started after {started.started_after:.0f} s.")
        return self._started[name]


@contextlib.asynccontextmanager
async def open_field(model: str, folder: Path, options: Sequence[str] = ()) -> AsyncIterator[Field]:
    """A field without servers yet; those that are started stop with the block.

    Args:
        model: a name that `service.models.resolve_model` takes.
        folder: for the servers' output.
        options: options of vLLM, for ours and the plain server alike.

    Raises:
        ModelError: there is no such model.
    """
    resolved = resolve_model(model, announce=notice)
    async with AsyncExitStack() as stack:
        web = await stack.enter_async_context(session())
        yield Field(web, resolved, model, folder, options, stack)
