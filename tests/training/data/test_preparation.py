import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.training.data.folders import post, small_folder
from training.data.duplicates import NEAR
from training.data.example import Origin, Split, post_key
from training.data.preparation import Options, prepare
from training.data.prepared import load_prepared
from training.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared with all defaults."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    made(folder, out)
    return out


def made(folder: Path, out: Path, **options: Any) -> dict[str, Any]:
    return prepare(folder, out, Options(**options))


def report_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "report.json").read_text(encoding="utf-8")))


def counts(report: dict[str, Any]) -> dict[str, int]:
    return {
        f"{set_id}/{split}": row["rows"]
        for set_id, splits in report["rows"].items()
        for split, row in splits.items()
    }


def rule(report: dict[str, Any], rule_id: str) -> dict[str, Any]:
    return next(rule for rule in report["rules"] if rule["id"] == rule_id)


def test_the_whole_way(out: Path) -> None:
    report = report_of(out)
    # dreaddit train: 12 rows, 1 broken, 1 in loneliness val, 1 nearly so.
    assert counts(report) == {
        "dreaddit/train": 9,
        "dreaddit/val": 3,
        "CAMS/train": 24,
        "CAMS/val": 6,
        "loneliness/val": 2,
        "IRF/train": 4,
    }
    prepared = load_prepared(out)
    assert prepared.report == report
    posts = {split: {e.post_key for e in rows} for split, rows in prepared.examples.items()}
    assert not posts[Split.TRAIN] & posts[Split.VAL]
    assert post_key(post(1)) in posts[Split.VAL]
    assert post_key(post(2)) not in posts[Split.TRAIN]
    origins = Counter((e.set, e.origin) for rows in prepared.examples.values() for e in rows)
    assert origins["CAMS", Origin.ANNOTATION] == 30
    assert origins["dreaddit", Origin.REFERENCE] == 12


def test_what_the_report_says(out: Path) -> None:
    report = report_of(out)
    train = "train_data/instruction_data/dreaddit/train.csv"
    assert report["files"][train]["rows"] == 12
    assert rule(report, "mojibake")["rows"] == [f"{train}:11"]
    assert rule(report, "entities")["by_file"] == {
        "train_data/instruction_data/dreaddit/val.csv": 1
    }
    assert rule(report, "broken")["rows"] == [f"{train}:12:stress"]
    short = rule(report, "short")
    assert (short["found"], short["applied"]) == ({"dreaddit/val": 1}, {})
    assert report["shared"]["rows"] == {"train": [f"{train}:1:stress"], "val": []}
    assert report["shared"]["by_part"] == {"dreaddit/train": {"loneliness/val": 1}}
    assert report["near"]["rows"] == [f"{train}:2:stress"]
    assert report["near"]["similarity"] == NEAR
    assert report["held_out"] == {"CAMS": 6}
    assert report["raw"]["added"] == {"CAMS/train": 30, "IRF/train": 4}
    assert report["raw"]["marks"]["CAMS"] == {
        "marked": 90,
        "found": 60,
        "rows": 30,
        "rows_not_found": 0,
    }
    assert report["raw"]["marks"]["IRF"]["rows_not_found"] == 1
    assert report["missing"]["released"]["dreaddit"] == ["test"]
    assert report["missing"]["raw"] == ["raw/Irf/val_data.csv", "raw/MultiWD/train_data.csv"]
    assert report["equal_posts"]["dreaddit/train"]["loneliness/val"] == 1
    assert report["near_posts"]["loneliness/val"]["dreaddit/train"] == 1


def test_same_input_same_bytes(folder: Path, out: Path, tmp_path: Path) -> None:
    made(folder, tmp_path / "b")
    names = sorted(path.name for path in out.iterdir())
    assert len(names) == 7
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_no_text_leaves_the_tables(folder: Path, out: Path) -> None:
    for name in ("report.json", "duplicates.json", "README.md"):
        text = (out / name).read_text(encoding="utf-8")
        assert not re.search(r"thing\d", text), name
        assert str(folder) not in text, name


def test_rows_can_be_kept(folder: Path, tmp_path: Path) -> None:
    report = made(
        folder,
        tmp_path / "out",
        without=("broken", "short"),
        remove_shared=False,
        remove_near=False,
        hold_out=False,
    )
    assert counts(report)["dreaddit/train"] == 12
    assert counts(report)["CAMS/train"] == 30
    assert rule(report, "broken") == {
        **rule(report, "broken"),
        "on": False,
        "found": {},
        "rows": [],
    }
    assert report["shared"]["by_part"] == {"dreaddit/train": {"loneliness/val": 1}}


def test_rules_can_work_everywhere(folder: Path, tmp_path: Path) -> None:
    report = made(folder, tmp_path / "out", everywhere=True)
    assert counts(report)["dreaddit/val"] == 2
    assert rule(report, "short")["applied"] == {"dreaddit/val": 1}


def test_sets_can_be_chosen(folder: Path, tmp_path: Path) -> None:
    report = made(folder, tmp_path / "out", sets=("dreaddit", "IRF"))
    assert set(report["rows"]) == {"dreaddit", "IRF"}
    assert counts(report)["dreaddit/train"] == 11  # loneliness is not there to share a post


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no rule quote; the rules are: mojibake"):
        Options(without=("quote",))
    with pytest.raises(UsageError, match="from 0 to 1"):
        Options(quotes_found=1.1)


def test_explanations_are_written_where_that_is_asked(
    folder: Path, out: Path, tmp_path: Path
) -> None:
    plain = report_of(out)
    assert plain["written"] == {}
    assert plain["rows"]["CAMS"]["train"]["explanations"] == 0
    report = made(folder, tmp_path / "out", write_explanations=True)
    assert report["written"] == {"CAMS": 24, "IRF": 3}  # one IRF mark is not in its post
    for set_id in ("CAMS", "IRF"):
        assert report["rows"][set_id]["train"]["explanations"] == report["written"][set_id]
    assert report["rows"]["CAMS"]["val"]["explanations"] == 0
    explained = [e for e in load_prepared(tmp_path / "out").examples[Split.TRAIN] if e.explanation]
    assert {e.set for e in explained} == {"CAMS", "IRF", "dreaddit"}
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| CAMS | 24 |" in card
    assert "--write-explanations" in card
    assert "none" in (out / "README.md").read_text(encoding="utf-8")


def test_a_full_folder_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="not empty"):
        prepare(tmp_path / "nowhere", tmp_path, Options())


def test_the_card(folder: Path, tmp_path: Path) -> None:
    made(folder, tmp_path / "out", without=("quotes",), seed=7)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    import yaml

    _, header, body = card.split("---\n", 2)
    fields = yaml.safe_load(header)
    paths = {row["split"]: row["path"] for row in fields["configs"][0]["data_files"]}
    assert paths == {
        "train": "train.parquet",
        "validation": "val.parquet",
        "test": "test.parquet",
    }
    assert "non-clinical research only" in body
    assert "| dreaddit | train | 9 | 9 | 9 | 0 | 0 |" in body
    assert "| dreaddit | val | stress | no 1, yes 2 |" in body
    assert "| dreaddit/train | loneliness/val | 1 | removed |" in body
    assert "CAMS (6 rows held out of train)" in body
    assert "- CLP (Reddit): train, val, test" in body
    assert "`quotes`" in body
    assert "label only (off)" in body
    assert (
        "mentalllama-train data prepare DATA_FOLDER --output DIR --seed 7 --without quotes\n"
        in body
    )
