"""What a benchmark runs on, how much it measures, and what it found."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from loadtests import servers
from loadtests.generator import BACKEND, drive
from loadtests.needed import Shape
from loadtests.servers import Running, StartError
from loadtests.workload import Item, count_tokens
from service.cli.terminal import notice
from service.models import resolve_model


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured; the defaults take about half an hour on two cores.

    Attributes:
        rounds: of what takes turns.
        explained: posts a round that are explained.
        labelled: posts a round that are labelled.
        few: posts a round of the baselines that are slow.
        arrivals: requests of an open loop.
        starts: of the server, beyond the first.
        flips: posts that all questions are read on, alone and among other requests.
        shared: posts that all questions are read on, in two orders.
        concurrency: requests that are open at once.
    """

    rounds: int = 3
    explained: int = 96
    labelled: int = 48
    few: int = 16
    arrivals: int = 100
    starts: int = 3
    flips: int = 80
    shared: int = 32
    concurrency: int = 32


QUICK = Size(1, explained=16, labelled=12, few=4, arrivals=24, starts=1, flips=8, shared=8)


@dataclass(slots=True)
class Measured:
    """What a measurement found.

    Attributes:
        rows: what was compared, to its results, one a round.
        figures: name to value; `loadtests.bench.FIGURES` says what they are.
    """

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, way: str, row: Mapping[str, Any]) -> None:
        """Keep a round's result."""
        self.rows.setdefault(way, []).append(dict(row))

    def median(self, way: str, figure: str) -> float:
        """Median of the rounds."""
        return float(statistics.median(row[figure] for row in self.rows[way]))

    def ratio(self, over: str, under: str, figure: str = "posts_per_second") -> float:
        """Median over the rounds of one's figure over another's."""
        pairs = zip(self.rows[over], self.rows[under], strict=True)
        return float(statistics.median(one[figure] / other[figure] for one, other in pairs))

    @property
    def failed_requests(self) -> int:
        """Of all rows."""
        return sum(int(row.get("failed", 0)) for rows in self.rows.values() for row in rows)


class Target(NamedTuple):
    """Where requests go, and as which of vLLM's backends (`loadtests.generator.drive`)."""

    url: str
    backend: str = BACKEND
    endpoint: str = "/analyze"
    model: str = BACKEND

    def chat(self, model: str) -> Target:
        """The same server's chat completions."""
        return Target(self.url, "openai-chat", "/v1/chat/completions", model)

    def completions(self, model: str) -> Target:
        """The same server's completions."""
        return Target(self.url, "openai", "/v1/completions", model)


class Testbed:
    """The servers and posts of a run.

    A server is started when a measurement first asks for it, and stays to the end.

    Args:
        asked: the model as the user named it.
        size: how much is measured.
        folder: for logs.
        options: of vLLM, for both servers.
        stack: stops the servers.

    Raises:
        ModelError: there is no such model.
    """

    def __init__(
        self, asked: str, size: Size, folder: Path, options: Sequence[str], stack: AsyncExitStack
    ) -> None:
        from transformers import AutoConfig

        self.asked, self.size, self.folder, self.options = asked, size, folder, tuple(options)
        self.model = resolve_model(asked, announce=notice)
        self.count = count_tokens(self.model.path)
        config = AutoConfig.from_pretrained(self.model.path)
        self.dtype = servers.served_dtype(self.model) or str(config.dtype).removeprefix("torch.")
        width = 4 if self.dtype == "float32" else 2
        self.shape = Shape.of(config.to_dict(), bytes_per_weight=width, bytes_per_cached=width)
        self.most = ("--max-concurrency", str(size.concurrency))
        self._stack = stack
        self._started: dict[str, Target] = {}
        self._number = 10_000  # of one length, so that all posts get as many tokens more

    async def ours(self) -> Target:
        """Our server.

        Raises:
            StartError: it did not start.
        """
        return await self._start("ours", servers.ours)

    async def plain(self) -> Target:
        """A plain vLLM server of the same model, named `servers.PLAIN_NAME`.

        Raises:
            StartError: it did not start.
        """
        return await self._start("plain", servers.plain, "--dtype", self.dtype)

    async def _start(
        self, name: str, server: Callable[..., AbstractAsyncContextManager[Running]], *first: str
    ) -> Target:
        if name not in self._started:
            notice(f"Starting a server ({name}) …")
            context = server(self.asked, self.folder / f"{name}.log", [*first, *self.options])
            self._started[name] = Target((await self._stack.enter_async_context(context)).url)
        return self._started[name]

    def posts(self, items: Sequence[Item]) -> list[str]:
        """Posts behind numbers that no others have, so that no prefix cache holds them."""
        first, self._number = self._number, self._number + len(items)
        return [f"{number}. {item.post}" for number, item in enumerate(items, first)]

    async def load(
        self, what: str, target: Target, prompts: Sequence[Any], *options: str, each: int = 1
    ) -> dict[str, Any]:
        """Send requests, and report how it went.

        Args:
            what: in words.
            target: where to.
            prompts: see `loadtests.generator.drive`.
            options: likewise.
            each: requests for one post.

        Returns:
            The load generator's figures, with `posts_per_second`.

        Raises:
            StartError: every request failed.
        """
        url, backend, endpoint, model = target
        found = await drive(
            url,
            prompts,
            *options,
            backend=backend,
            endpoint=endpoint,
            model=model,
            tokenizer=self.model.path,
        )
        # vLLM's own backends give tracebacks; what follows an error's name could hold a request's.
        errors = Counter(
            one.strip().splitlines()[-1].split(":")[0] for one in found["errors"] if one
        )
        row = {name: float(one) for name, one in found.items() if isinstance(one, float | int)}
        row["posts_per_second"] = row["request_throughput"] / each
        rates = f"{row['posts_per_second']:.2f} posts/s, {row['output_throughput']:.0f} tokens/s"
        notice(f"{what}: {rates}, {row['failed']:.0f} failed")
        if not row["completed"]:
            raise StartError(f"every request failed: {', '.join(errors)}")
        return {**row, "errors": dict(errors)}
