"""The command line: `mentalllama-train COMMAND`.

Each command is a thin module that ends in the part of `training` that does the work. `failures`
turns errors into exit codes. Nothing heavy is imported before there is work to do.
"""

from __future__ import annotations

from service.cli import frame
from training.cli import (
    annotate,
    average,
    baseline,
    build,
    calibrate,
    check,
    compare,
    data,
    evaluate,
    export,
    sft,
)
from training.cli.failures import MEANINGS

_EXIT_CODES = frame.exit_code_words(MEANINGS.items())

app = frame.make_app(
    "mentalllama-train",
    "Makes models for the IMHI tasks: prepares data, fine-tunes, measures on the benchmark, "
    "calibrates and exports. Research software: no diagnosis, no advice.",
    _EXIT_CODES,
)
data.app.command(name="build")(build.build)
data.app.command(name="check")(check.check)
app.add_typer(data.app, name="data", epilog=_EXIT_CODES)
app.add_typer(annotate.app, name="annotate", epilog=_EXIT_CODES)
app.command(epilog=_EXIT_CODES)(sft.sft)
app.command(epilog=_EXIT_CODES)(evaluate.evaluate)
app.command(epilog=_EXIT_CODES)(compare.compare)
app.command(epilog=_EXIT_CODES)(calibrate.calibrate)
app.command(epilog=_EXIT_CODES)(baseline.baseline)
app.command(epilog=_EXIT_CODES)(average.average)
app.command(epilog=_EXIT_CODES)(export.export)


def main() -> None:
    """Run the command line; the entry point of the distribution."""
    frame.run(app)


if __name__ == "__main__":
    main()
