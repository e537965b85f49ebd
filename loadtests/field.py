"""What a benchmark runs on: both servers, the rivals in this process, and posts for all of them.

All are loaded before anything is measured and stay so to the end, each idle while another works:
what is compared was measured in one run, in turns, on one machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from loadtests import servers
from loadtests.clients import Ask, Client, session
from loadtests.drive import closed_loop
from loadtests.latency import Summary, summarise
from loadtests.needed import Shape
from loadtests.workload import Count
from service.cli.terminal import notice
from service.models import resolve_model

DEVELOPMENT = {"VLLM_SERVER_DEV_MODE": "1"}
"""Lets a server's prefix cache be emptied over HTTP; nobody else reaches the port."""


@dataclass(frozen=True, slots=True)
class Field:
    """Everything that is measured.

    Attributes:
        ours: our server.
        plain: vLLM's, on the same weights.
        web: the client of both.
        ours_name: what our server calls the model.
        weights: the directory of the weights.
        tokenizer: the model's.
        shape: the model's.
    """

    ours: servers.Running
    plain: servers.Running
    web: aiohttp.ClientSession
    ours_name: str
    weights: Path
    tokenizer: Any
    shape: Shape

    @property
    def count(self) -> Count:
        """Counts a text's tokens."""
        return lambda text: len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    async def forget(self) -> None:
        """Empty the prefix caches of both servers.

        Raises:
            aiohttp.ClientError: a server does not answer.
        """
        for server in (self.ours, self.plain):
            async with self.web.post(f"{server.url}/reset_prefix_cache") as response:
                response.raise_for_status()

    async def measure(self, client: Client, asks: list[Ask], concurrency: int) -> Summary:
        """Ask everything, so many at a time, with empty caches at the start."""
        await self.forget()
        return summarise(await closed_loop(asks, client, concurrency))


@contextlib.asynccontextmanager
async def open_field(model: str, logs: Path) -> AsyncIterator[Field]:
    """Start both servers; they stop with the block.

    Args:
        model: a name that `service.models.resolve_model` takes.
        logs: a folder for the servers' output.

    Raises:
        StartError: a server did not start.
        ModelError: there is no such model.
    """
    from transformers import AutoConfig, AutoTokenizer

    resolved = resolve_model(model, announce=notice)
    weights = Path(resolved.path)
    async with contextlib.AsyncExitStack() as stack:
        notice("Starting our server …")
        ours = stack.enter_context(servers.ours(model, logs / "ours.log", variables=DEVELOPMENT))
        notice(f"It started after {ours.started_after:.0f} s. Starting a plain vLLM server …")
        plain = stack.enter_context(servers.plain(model, logs / "plain.log", variables=DEVELOPMENT))
        notice(f"It started after {plain.started_after:.0f} s.")
        web = await stack.enter_async_context(session())
        config = AutoConfig.from_pretrained(weights)
        yield Field(
            ours=ours,
            plain=plain,
            web=web,
            ours_name=resolved.name,
            weights=weights,
            tokenizer=AutoTokenizer.from_pretrained(weights),
            shape=Shape.of(config.to_dict()),
        )
