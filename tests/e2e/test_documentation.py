"""What the pages show is run as it stands, page by page, against the one running server.

The commands and programs of a page run in its order in an empty folder, so that each finds what
those before it made. Only the address is another. What cannot run here is listed, with its reason,
in tests/unrun.py.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.api.schemas import AnalyzeResponse
from tests.e2e.posts import POST
from tests.pages import ROOT, SHELLS, Block, blocks, commands
from tests.servers import RunningServer, bare_environment
from tests.unrun import reason

ADDRESS = "localhost:8000"
NOTEBOOK = ROOT / "docs" / "notebooks" / "from-a-file-to-plots.ipynb"
EXIT_CODES = {"mentalllama batch -i requests.jsonl -o results.jsonl --url": 6}
"""Of commands that are shown with something wrong in what they are given."""

PRINTED = {
    "docs/own-questions.md": ["type='predicate'", "type='choice'", "type='score'"],
    "docs/tutorial.md": ["1 stress", "1 loneliness", "2 stress", "3 loneliness"],
}
"""What the programs of a page print, among other things."""


def runnable(block: Block) -> bool:
    if block.language == "python":
        return True
    return block.language in SHELLS and any(reason(one) is None for one in commands(block))


PAGES = sorted({block.page for block in blocks() if runnable(block)})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a page's commands run: it holds what the pages take to be there already."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "post.txt").write_text(POST)
    [requests] = [
        block.code
        for block in blocks()
        if block.page == "docs/batch.md" and '"a-3", "m' in block.code
    ]
    (tmp_path / "requests.jsonl").write_text(requests)
    (tmp_path / "posts.csv").write_text(f'text\n"{POST}"\n')
    return tmp_path


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_page_does_as_it_says(
    page: str, embedded_server: RunningServer, folder: Path, analyze_embedded, capsys
) -> None:
    if page == "docs/operations.md":  # a baseline is made of what was answered
        analyze_embedded(None, texts=[POST] * 50, tasks=["stress"], explain="never")
    place = embedded_server.url.removeprefix("http://")
    programs, environment = Path(sys.executable).parent, bare_environment()
    environment |= {"PATH": f"{programs}:{environment['PATH']}", "KEY": "none-is-asked-for"}
    for block in blocks():
        if block.page != page:
            continue
        if block.language == "python":
            exec(compile(block.code.replace(ADDRESS, place), page, "exec"), {})
        elif block.language in SHELLS:
            for command in commands(block):
                if reason(command) is None:
                    shell(command.replace(ADDRESS, place), command, environment)
    printed = capsys.readouterr().out
    assert [one for one in PRINTED.get(page, ()) if one not in printed] == []


def test_the_readmes_answer_is_one_and_its_evidence_stands_in_the_post() -> None:
    readme = [block for block in blocks() if block.page == "README.md"]
    [command] = [block for block in readme if block.code.startswith("curl")]
    answer = readme[readme.index(command) + 1]
    assert answer.language == "json"
    (body,) = re.findall(r"-d '(.*)'$", command.code, re.MULTILINE)
    text = json.loads(body)["text"]
    (result,) = AnalyzeResponse.model_validate_json(answer.code).results
    assert result.answers
    for found in (evidence for one in result.answers for evidence in one.evidence):
        assert text[found.start : found.end] == found.quote


def shell(command: str, shown: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    wanted = next((code for one, code in EXIT_CODES.items() if shown.startswith(one)), 0)
    assert done.returncode == wanted, f"{shown}\n{done.stdout}{done.stderr}"
    assert '"error":{' not in done.stdout


@pytest.mark.engine
@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_is_committed(
    embedded_server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import nbclient
    import nbformat

    monkeypatch.setenv("MENTALLLAMA_URL", embedded_server.url)
    committed = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(committed)
    run = nbformat.from_dict(committed)
    for cell in run.cells:
        cell.pop("outputs", None)
        if cell.cell_type == "code":
            cell.outputs = []
    client = nbclient.NotebookClient(
        run, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert [kinds(cell) for cell in run.cells] == [kinds(cell) for cell in committed.cells]
    assert any("image/png" in kind for cell in committed.cells for kind in kinds(cell))
    # Close calls may differ between machines.
    shown, read = sure(committed), sure(run)
    assert shown
    assert [one for one in shown if one not in read and shown[one] >= 0.7] == []


def kinds(cell) -> list[str]:
    outputs = cell.get("outputs", ())
    return [",".join((one.output_type, *sorted(one.get("data", ())))) for one in outputs]


def sure(notebook) -> dict[str, float]:
    """The lines of its table, text and question and label, with their probabilities."""
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    printed = "".join(one.get("text", "") for one in outputs)
    lines = re.findall(r"^(\w  \w+ +\w+) +(\d\.\d\d)$", printed, re.MULTILINE)
    return {line: float(probability) for line, probability in lines}
