import json
import re
from pathlib import Path

import pytest

from tests.training.command import invoke
from tests.training.data.folders import small_folder
from training.data.example import Split
from training.data.prepared import load_prepared
from training.errors import ExitCode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("data"))


def run(*arguments: object):
    return invoke("data", "prepare", *arguments)


def test_a_table_and_where_the_report_is(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--output", tmp_path / "out")
    assert result.exit_code == ExitCode.OK
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["dreaddit", "train", "9", "9", "9", "0"] in lines
    assert "No released file: CLP train, val, test" in result.stdout
    assert "No raw file: raw/MultiWD/train_data.csv" in result.stdout
    assert str(tmp_path / "out" / "report.json") in result.stdout
    steps = result.stderr.splitlines()
    assert len([line for line in steps if line.endswith("…")]) == 4
    compared = [line for line in steps if line.startswith("Comparing posts: ")]
    done, total = re.match(r"Comparing posts: (\d+) of (\d+)", compared[-1]).groups()
    assert done == total
    assert "thing1" not in result.output


def test_json_is_the_report_without_ids(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--output", tmp_path / "out", "--json")
    report = json.loads(result.stdout)
    assert report["shared"]["rows"] == {"train": 1, "val": 0}
    assert {rule["id"]: rule["rows"] for rule in report["rules"]}["broken"] == 1
    kept = load_prepared(tmp_path / "out").report
    assert report["rows"] == kept["rows"]


def test_options_reach_the_work(folder: Path, tmp_path: Path) -> None:
    result = run(
        folder, "--output", tmp_path / "out", "--sets", "DREADDIT,irf", "--keep-shared",
        "--keep-near", "--without", "broken,short", "--without", "quotes", "--everywhere",
        "--seed", "5", "--no-hold-out", "--quotes-found", "0.5", "--write-explanations",
    )  # fmt: skip
    assert result.exit_code == ExitCode.OK
    assert load_prepared(tmp_path / "out").report["options"] == {
        "sets": ["dreaddit", "IRF"],
        "without": ["broken", "short", "quotes"],
        "everywhere": True,
        "quotes_found": 0.5,
        "remove_shared": False,
        "remove_near": False,
        "hold_out": False,
        "seed": 5,
        "write_explanations": True,
    }


def test_a_second_run_needs_force(folder: Path, tmp_path: Path) -> None:
    run(folder, "--output", tmp_path / "out")
    again = run(folder, "--output", tmp_path / "out")
    assert again.exit_code == ExitCode.USAGE
    assert "add --force" in again.stderr
    forced = run(folder, "--output", tmp_path / "out", "--force", "--no-hold-out")
    assert forced.exit_code == ExitCode.OK
    assert all(e.set != "CAMS" for e in load_prepared(tmp_path / "out").examples[Split.VAL])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--sets", "dreadit"], ExitCode.USAGE, "There is no set dreadit; there are: DR"),
        (["--without", "shortness"], ExitCode.USAGE, "There is no rule shortness"),
        (["--sets", "CLP"], ExitCode.DATA, "holds no file of the sets asked for (CLP)"),
    ],
)
def test_what_goes_wrong(
    folder: Path, tmp_path: Path, arguments: list[str], code: ExitCode, message: str
) -> None:
    result = run(folder, "--output", tmp_path / "out", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_interrupt_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.data.prepared._write_parquet", interrupted)
    result = run(folder, "--output", tmp_path / "out")
    assert result.exit_code == ExitCode.INTERRUPTED
    assert list(tmp_path.iterdir()) == []
