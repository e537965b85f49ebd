"""`mentalllama batch`: a file in OpenAI's batch format in, one out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer

from service.batch.exchange import Count, exchange
from service.batch.lines import URLS, read_lines
from service.cli.exit_codes import ExitCode
from service.cli.failures import failures_reported
from service.cli.terminal import notice, waiting
from service.client import KEY_VARIABLE, UnreachableError, open_client
from service.errors import InvalidRequestError
from service.models import EMBEDDED, resolve_model
from service.settings import load_policy, load_settings


def batch(
    input_file: Annotated[
        Path,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
            help="JSON lines with `custom_id`, `method` (POST), `url` and `body`. A url is one of "
            f"{', '.join(URLS)}.",
            show_default=False,
        ),
    ],
    output_file: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the results go, a line for each line of the input, in its order.",
            show_default=False,
        ),
    ],
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- VLLM OPTION",
            show_default=False,
            help="What follows -- goes to vLLM, as with `mentalllama serve`.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model to load: `embedded` (the default), `embedded-base`, a directory, or an "
            "id on a hub.",
            show_default=False,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A running service, as http://localhost:8000, in place of --model. Where it asks "
            f"for a key, that of the variable {KEY_VARIABLE} is sent.",
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=4096, metavar="NUMBER", help="Most requests at a time.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="How long to wait for one answer.")
    ] = 3600.0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an output that is there.")
    ] = False,
) -> None:
    """Answer a file of requests in OpenAI's batch format.

    A line that fails is a line with an error and leaves the others alone.

    For example:

        mentalllama batch -i requests.jsonl -o results.jsonl

        mentalllama batch -i requests.jsonl -o results.jsonl --url http://localhost:8000
    """
    with failures_reported():
        if url and (model or options):
            raise InvalidRequestError("--url takes neither --model nor options of vLLM.")
        _check_files(input_file, output_file, force=force)
        with ExitStack() as stack:
            if url:
                client = open_client(url, timeout, os.environ.get(KEY_VARIABLE))
            else:
                client = stack.enter_context(_started(model or EMBEDDED, options or [], timeout))
            with waiting("Answering …"):
                count = asyncio.run(_answer(client, input_file, output_file, concurrency))
        notice(f"{output_file}: {count.answered:,} answered, {count.failed:,} with an error.")
        if count.failed:
            raise typer.Exit(ExitCode.ROWS_FAILED)


def _check_files(input_file: Path, output_file: Path, *, force: bool) -> None:
    """Say what is wrong with a path before a model is loaded.

    Raises:
        InvalidRequestError: the input holds no line, or the output cannot or must not be written.
    """
    if input_file.exists() and not input_file.is_file():
        # It is read twice, which a pipe cannot be.
        raise InvalidRequestError(f"{input_file} is not a regular file.", param="input")
    if next(read_lines(input_file), None) is None:
        raise InvalidRequestError(f"{input_file} holds no line.", param="input")
    if output_file.exists() and output_file.samefile(input_file):
        raise InvalidRequestError("The output would replace the input.", param="output")
    if output_file.is_dir() or (output_file.exists() and not force):
        raise InvalidRequestError(
            f"{output_file} is there: name another file, or replace it with --force.",
            param="output",
        )
    if not output_file.absolute().parent.is_dir():
        raise InvalidRequestError(f"There is no folder for {output_file}.", param="output")


@contextmanager
def _started(name: str, options: list[str], timeout: float) -> Iterator[httpx.AsyncClient]:
    """A client of a service that is started for this run."""
    from service.batch.own_service import own_service

    load_policy(load_settings())  # what is wrong is told of before anything is built
    resolved = resolve_model(name, announce=notice)
    with ExitStack() as stack:
        with waiting(f"Loading {resolved.name}, the first time a few minutes …"):
            socket = stack.enter_context(own_service(resolved, options))
        yield httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                uds=str(socket), limits=httpx.Limits(max_connections=None)
            ),
            base_url="http://service",
            timeout=timeout,
        )


async def _answer(
    client: httpx.AsyncClient, input_file: Path, output_file: Path, concurrency: int
) -> Count:
    """Write the results beside the output until all are there, then in its place.

    Raises:
        InvalidRequestError: they cannot be written.
        UnreachableError: the service has gone.
    """
    part = output_file.with_name(f"{output_file.name}.part")
    try:
        # What a model says of posts is for their keeper alone.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as output:
            async with client:
                count = await exchange(
                    client, read_lines(input_file), output, concurrency=concurrency
                )
        part.replace(output_file)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidRequestError(f"{part} cannot be written: {reason}.", param="output") from None
    except UnreachableError as error:
        raise UnreachableError(f"{error.message} What was answered is in {part}.") from None
    return count
