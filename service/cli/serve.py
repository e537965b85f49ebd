"""`mentalllama serve`: finds the model, then hands over to the server."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from service.cli.failures import failures_reported
from service.cli.terminal import notice
from service.errors import InvalidRequestError
from service.models import EMBEDDED, ResolvedModel, resolve_model
from service.settings import Settings, load_policy, load_settings

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
    longer, the first time most of all. Without API keys (`mentalllama keys`) it answers only this
    machine.

    For example:

        mentalllama serve --port 9000

        mentalllama serve klyang/MentaLLaMA-chat-7B --dtype half
    """
    from service.gate.keys import load_keys

    with failures_reported():
        name, options = _model_and_options(arguments or [])
        if any(option == "--help" or option.startswith("--help=") for option in options):
            # vLLM prints its options and ends: no reason to find or build a model first.
            model = ResolvedModel(name, name, embedded=False)
        else:
            # Read again by the server, half a minute later: what is wrong is told of now.
            settings = load_settings()
            load_policy(settings)
            load_keys(settings)
            _check_exposure(settings, options)
            model = resolve_model(name, announce=notice)

        from service.launch import launch

        launch(model, options)


def _check_exposure(settings: Settings, options: list[str]) -> None:
    """Refuse early what the server would refuse once it has read its options."""
    from service.gate.exposure import check_exposure
    from service.launch import LOOPBACK, has_option, option_value

    if has_option(options, "--config"):
        return  # only vLLM's own parser knows what is in the file
    check_exposure(
        settings,
        option_value(options, "--host", LOOPBACK),
        socket=has_option(options, "--uds"),
        api_key=has_option(options, "--api-key") or bool(os.environ.get("VLLM_API_KEY")),
    )


def _model_and_options(arguments: list[str]) -> tuple[str, list[str]]:
    options = list(arguments)
    model = options.pop(0) if options and not options[0].startswith("-") else EMBEDDED
    if any(option == "--model" or option.startswith("--model=") for option in options):
        raise InvalidRequestError(
            "Name the model first, without --model: `mentalllama serve MODEL [VLLM OPTION]...`."
        )
    return model, options
