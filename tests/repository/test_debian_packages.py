"""The installer of Debian packages: quiet where all is there, harmless where it can do nothing."""

from __future__ import annotations

import subprocess

import pytest

from scripts import debian_packages
from scripts.debian_packages import install, main, missing


def test_what_is_there_is_found():
    assert missing({"coreutils": "ls", "dash": "sh"}) == []
    assert missing({"coreutils": "ls", "none": "no-such-program"}) == ["none"]


def test_where_all_is_there_nothing_is_done_or_said(monkeypatch, capsys):
    monkeypatch.setattr(debian_packages, "missing", list)
    monkeypatch.setattr(debian_packages, "install", lambda *_: pytest.fail("installed"))
    assert main() == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("apt", "root", "said"),
    [(None, [], "Not on Debian"), ("/usr/bin/apt-get", None, "To run them: apt-get install some")],
)
def test_where_it_cannot_install_it_says_so_and_goes_on(monkeypatch, capsys, apt, root, said):
    monkeypatch.setattr(debian_packages, "missing", lambda: ["some"])
    monkeypatch.setattr(debian_packages, "install", lambda *_: pytest.fail("installed"))
    monkeypatch.setattr(debian_packages, "as_root", lambda: root)
    monkeypatch.setattr("shutil.which", lambda _: apt)
    assert main() == 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("codes", "commands", "fault"),
    [
        ([0], ["install"], None),
        ([1, 0, 0], ["install", "update", "install"], None),
        ([1, 1, 1], ["install", "update", "install"], "E: no such package"),
    ],
)
def test_lists_are_renewed_only_where_needed(monkeypatch, codes, commands, fault):
    run = []

    def answer(command, **_):
        run.append(next(word for word in command if word in ("install", "update")))
        assert command[:2] == ["sudo", "-n"]
        assert "RUNLEVEL=1" in command
        return subprocess.CompletedProcess(
            command, codes[len(run) - 1], "", "W: so\nE: no such package\n"
        )

    monkeypatch.setattr(subprocess, "run", answer)
    assert install(["some"], ["sudo", "-n"]) == fault
    assert run == commands
