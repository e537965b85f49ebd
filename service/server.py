"""Starts vLLM's own API server; our routes come with the endpoint plugin in `service.plugin`.

Run as `python -m service.server MODEL [any vLLM option]` with the environment that
`service.launch.environment` makes; `mentalllama serve` does both.
"""

from __future__ import annotations

import os
import resource
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

from service import warm_start, work_lock
from service.errors import InvalidRequestError, ServiceError
from service.launch import has_option, runs_on_cpu
from service.weights import refuse_code

_LOG_CONTENT = ("enable_log_requests", "enable_log_outputs")
_SEVERAL_PROCESSES = ("--api-server-count", "--data-parallel-size", "--headless")
_LOG_RESPONSES = "VLLM_DEBUG_LOG_API_SERVER_RESPONSE"


def main(arguments: Sequence[str]) -> int:
    """Serve until stopped.

    Returns:
        An exit code: 0 after a clean stop, else one of `service.cli.exit_codes`.
    """
    leave_no_memory_behind()  # before the first process that inherits it
    several = has_option(arguments, *_SEVERAL_PROCESSES) or any(
        one.split("=", 1)[0] == "-dp" for one in arguments
    )
    warm = runs_on_cpu() and not several
    if warm:
        warm_start.begin()
    import vllm.logger
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    cli_env_setup()
    # What `vllm serve` does, without the rest of the `vllm` command, which asks for a distribution
    # named `vllm` and so does not start beside the CPU build.
    parser = FlexibleArgumentParser(prog="mentalllama")
    command = ServeSubcommand()
    command.subparser_init(parser.add_subparsers(dest="subparser"))
    parsed = parser.parse_args(["serve", *arguments])
    if warm:
        warm_start.hand_over()
    # Before 0.30, vLLM's logging had variables only and no options.
    if configure := getattr(vllm.logger, "configure_logging_from_args", None):
        configure(parsed)
    command.validate(parsed)
    try:
        protect(parsed)
        refuse_content_in_logs(parsed, os.environ)
        refuse_code(parsed, arguments[0] if arguments else "")
        work_lock.create(os.environ)
        command.cmd(parsed)
    except ServiceError as error:
        from service.cli.exit_codes import exit_code  # the whole command line, for this case alone

        sys.stderr.write(f"mentalllama serve: {error.message}\n")
        return exit_code(error)
    return 0


def leave_no_memory_behind() -> None:
    """Have no process of the service dump its memory, with posts in it, when it crashes.

    Processes that are started later inherit it. A core handler that the machine pipes dumps to is
    the machine's own business.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def protect(parsed: Namespace) -> None:
    """See that the server is not open to others, and that vLLM's own key guards every route.

    Args:
        parsed: vLLM's options, as its own parser has read them.

    Raises:
        InvalidSettingsError: it would be open, or the keys cannot be used.
    """
    from service.gate.exposure import check_exposure, has_keys, keys_of_vllm
    from service.gate.keys import load_keys
    from service.settings import PREFIX, load_settings

    settings = load_settings()
    # As vLLM itself decides between the two.
    given = parsed.api_key or [os.environ.get("VLLM_API_KEY")]
    api_keys = [key for key in given if key]
    check_exposure(settings, parsed.host, socket=bool(parsed.uds), api_key=bool(api_keys))
    if api_keys:
        # For this process and for the API servers that vLLM starts.
        os.environ[f"{PREFIX}KEYS"] = keys_of_vllm(api_keys)
    elif has_keys(settings):
        load_keys(settings)  # read again by every API server, where a fault would be told of late
    elif not settings.external_authentication:
        sys.stderr.write(
            "mentalllama serve: no keys are set, so only this machine is answered; see "
            "docs/keys-and-limits.md.\n"
        )


def refuse_content_in_logs(parsed: Namespace, environment: Mapping[str, str]) -> None:
    """Refuse what has vLLM log prompts or completions, however it was given.

    Raises:
        InvalidRequestError: an option or a variable asks for it.
    """
    asked = [f"--{name.replace('_', '-')}" for name in _LOG_CONTENT if getattr(parsed, name, False)]
    if environment.get(_LOG_RESPONSES, "").lower() == "true":
        asked.append(f"{_LOG_RESPONSES}=true")
    if asked:
        raise InvalidRequestError(
            f"{' and '.join(asked)} would write what people send into the log. The service never "
            "does; its log has one line a request, with sizes and times. Leave it out."
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
