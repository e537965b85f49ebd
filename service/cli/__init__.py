"""The command line: `mentalllama serve|analyze|batch|tasks|model|keys`.

Each command is a thin module: arguments become the same request that HTTP takes, the answer is
printed on standard output, and everything else goes to standard error. `failures` turns errors into
the exit codes of `exit_codes`. Nothing heavy is imported before a model is loaded.
"""

from __future__ import annotations

from service.cli import analyze, batch, frame, keys, model, serve, tasks
from service.cli.exit_codes import MEANINGS

_EXIT_CODES = frame.exit_code_words(MEANINGS.items())

app = frame.make_app(
    "mentalllama",
    "Reads the IMHI tasks in a post with a language model: labels with probabilities, an "
    "explanation and its evidence. Research software: no diagnosis, no advice.",
    _EXIT_CODES,
)
app.command(context_settings=serve.CONTEXT, epilog=_EXIT_CODES)(serve.serve)
app.command(epilog=_EXIT_CODES)(analyze.analyze)
app.command(epilog=_EXIT_CODES)(batch.batch)
app.command()(tasks.tasks)
app.add_typer(model.app, name="model")
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the command line; the entry point of the distribution."""
    frame.run(app)
