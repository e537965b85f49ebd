"""Commands that pages show and that no test runs as they stand, each kind with the reason.

Every other command of a page runs in tests/e2e/test_documentation.py; test_documented_commands.py
parses those of our own programs.
"""

from __future__ import annotations

import re

UNRUN: dict[str, str] = {
    r"make [a-z-]+": "installs, serves or measures for minutes to hours",
    r"source \.venv/bin/activate$": "the shell of the test has the same programs on its path",
    r"pre-commit install": "would change the clone that is under test",
    r"(OTEL_SERVICE_NAME=mentalllama )?mentalllama serve\b": "starts a server",
    r"mentalllama batch (?!.*--url)": "starts an engine",
    r"(zcat \S+ \| )?mentalllama analyze (?!.*--url)": "starts an engine",
    r"mentalllama-train ": "needs the benchmark's files, and minutes to days",
    r"(python -m venv|\.\./quantize/bin/pip|hf download|pip install)": "downloads from elsewhere",
    r"(cd src|cp -r \.\./|python (label_inference|score)\.py)": (
        "in a clone of the paper's repository, which is not part of this one"
    ),
    r"(MODEL_DIRECTORY=\S+ )?\./up\.sh": "starts containers",
    r"(docker|kubectl|helm) ": "needs a daemon or a cluster",
    r"export MENTALLLAMA_REDIS_URL=": "names a server of the operator's",
    r"python -m (loadtests|tests)\.": "measures for minutes",
}


def reason(command: str) -> str | None:
    """Why a command is not run, or None where it is."""
    return next((said for kind, said in UNRUN.items() if re.match(kind, command)), None)
