"""accelerate's launcher, ending without a traceback where the processes have spoken themselves.

    python -m training.sft.launcher OPTION... --module MODULE ARGUMENT...

`training.sft.launch` starts it; the arguments are those of `accelerate launch`. It ends with the
exit code of the first process that failed, or with 130 where it was interrupted.
"""

from __future__ import annotations

import sys

from training.errors import ExitCode


def main() -> int:
    """Start the processes, wait for them, and return the exit code."""
    from accelerate.commands.launch import main as launch
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        launch()
    except SignalException:
        return ExitCode.INTERRUPTED
    except ChildFailedError as error:
        first = min(error.failures.values(), key=lambda failure: failure.timestamp)
        return int(first.exitcode)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
