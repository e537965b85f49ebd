"""Starts vLLM's own API server; our routes come with the endpoint plugin in `service.plugin`.

Run as `python -m service.server MODEL [any vLLM option]` with the environment that
`service.launch.environment` makes; `mentalllama serve` does both.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from service.errors import ServiceError
from service.weights import refuse_code


def main(arguments: Sequence[str]) -> int:
    """Serve until stopped.

    Returns:
        An exit code: 0 after a clean stop, else one of `service.cli.exit_codes`.
    """
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
    # Before 0.30, vLLM's logging had variables only and no options.
    if configure := getattr(vllm.logger, "configure_logging_from_args", None):
        configure(parsed)
    command.validate(parsed)
    try:
        refuse_code(parsed, arguments[0] if arguments else "")
        command.cmd(parsed)
    except ServiceError as error:
        from service.cli.exit_codes import exit_code  # the whole command line, for this case alone

        sys.stderr.write(f"mentalllama serve: {error.message}\n")
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
