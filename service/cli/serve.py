"""`mentalllama serve`: finds the model, then hands over to the server."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.failures import failures_reported
from service.cli.terminal import notice
from service.errors import InvalidRequestError
from service.models import EMBEDDED, ResolvedModel, resolve_model
from service.settings import load_policy, load_settings

CONTEXT = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Nothing after `serve` is ours but a `--help` that comes first."""


def serve(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL|VLLM OPTION",
            show_default=False,
            help="MODEL is `embedded` (the default), a directory, or an id on a hub (org/name). It "
            "must come first: a first argument that starts with - is a vLLM option. All options "
            "go to vLLM untouched; `mentalllama serve -- --help=all` lists them.",
        ),
    ] = None,
) -> None:
    """Serve a model over HTTP: POST /analyze and the OpenAI API, on one vLLM server.

    The embedded model is built on first use, which takes about half a minute; vLLM's start takes
    longer, the first time most of all.

    For example:

        mentalllama serve --port 9000

        mentalllama serve klyang/MentaLLaMA-chat-7B --dtype half
    """
    with failures_reported():
        name, options = _model_and_options(arguments or [])
        if any(option == "--help" or option.startswith("--help=") for option in options):
            # vLLM prints its options and ends: no reason to find or build a model first.
            model = ResolvedModel(name, name, embedded=False)
        else:
            # Read again by the server, half a minute later: a wrong one is told of now.
            load_policy(load_settings())
            model = resolve_model(name, announce=notice)

        from service.launch import launch

        launch(model, options)


def _model_and_options(arguments: list[str]) -> tuple[str, list[str]]:
    options = list(arguments)
    model = options.pop(0) if options and not options[0].startswith("-") else EMBEDDED
    if any(option == "--model" or option.startswith("--model=") for option in options):
        raise InvalidRequestError(
            "Name the model first, without --model: `mentalllama serve MODEL [VLLM OPTION]...`."
        )
    return model, options
