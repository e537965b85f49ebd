"""Commands that pages show and that no test runs as they stand, each kind with the reason.

Whatever stands here is checked in another way, which the reason names. Every other command of a
page runs in tests/e2e/test_documentation.py, and a kind that no page shows any more fails a test.
"""

from __future__ import annotations

import re

UNRUN: dict[str, str] = {
    r"make (serve|setup|test|check|docs|bench|bench-quick|overload|soak|train-embedded)\b": (
        "installs, serves or measures for minutes to hours; its target exists (test_pages.py), and "
        "what it calls has tests, the site in tests/repository"
    ),
    r"source \.venv/bin/activate$": "the shell of the test has the same programs on its path",
    r"pre-commit install": "would change the clone that is under test",
    r"mentalllama serve\b": (
        "starts a server, as tests/servers.py does; test_documented_commands.py parses it"
    ),
    r"OTEL_SERVICE_NAME=mentalllama mentalllama serve\b": "the same; spans: test_spans.py",
    r"mentalllama batch (?!.*--url)": "starts an engine; tests/e2e/test_batch.py does it once",
    r"(zcat \S+ \| )?mentalllama analyze (?!.*--url)": (
        "starts an engine; tests/e2e/test_command.py does it once"
    ),
    r"mentalllama-train ": (
        "needs the benchmark's files, and minutes to days; test_documented_commands.py parses it "
        "with its recipe and fields, tests/e2e/test_training.py goes the whole way on made rows"
    ),
    r"(python -m venv|\.\./quantize/bin/pip|hf download|pip install ')": (
        "downloads from elsewhere"
    ),
    r"pip install --no-deps -r requirements/bench\.txt": (
        "compiles for minutes what only the benchmark needs"
    ),
    r"(cd src|cp -r \.\./|python (label_inference|score)\.py)": (
        "in a clone of the paper's repository, which is not part of this one"
    ),
    r"(\./up\.sh|MODEL_DIRECTORY=\S+ \./up\.sh)": (
        "starts containers; tests/deploy/test_compose.py runs the script with another docker"
    ),
    r"(docker|kubectl|helm) ": (
        "needs a daemon or a cluster; tests/deploy render the chart and read the images' file"
    ),
    r"export MENTALLLAMA_REDIS_URL=": "names a server of the operator's",
    r"python -m (loadtests|tests)\.": ("measures for minutes; tests/loadtests run its parts"),
}


def reason(command: str) -> str | None:
    """Why a command is not run, or None where it is."""
    return next((said for kind, said in UNRUN.items() if re.match(kind, command)), None)
