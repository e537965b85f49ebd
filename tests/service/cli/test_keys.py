"""`mentalllama keys`: what it prints, what it writes, what the service makes of it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from service.gate.keys import KEY_PREFIX, hash_key, read_key_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture(autouse=True)
def no_file(monkeypatch) -> None:
    monkeypatch.delenv("MENTALLLAMA_KEYS_FILE", raising=False)


def create(run, path: Path, name: str = "web", *more: str) -> str:
    result = run("keys", "create", name, "--scope", "analyze", "--file", str(path), *more)
    assert result.exit_code == 0, result.stderr
    return str(result.stdout).strip()


def test_a_key_is_printed_once_and_its_hash_is_stored(run, path: Path):
    key = create(run, path)
    assert key.startswith(KEY_PREFIX)
    (entry,) = read_key_file(path).keys
    assert (entry.name, entry.sha256) == ("web", (hash_key(key),))
    assert key not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_all_that_an_entry_can_say(run, path: Path):
    limits = ["--requests-per-minute", "1", "--posts-per-minute", "2", "--concurrent-requests", "3"]
    limits += ["--body-bytes", "4", "--texts", "5", "--characters", "6"]
    others = ["--scope", "openai", "--expires", "2030-02-03", "--priority", "bulk", "--share-cache"]
    create(run, path, "web", *limits, *others)
    (entry,) = json.loads(path.read_text())["keys"]
    del entry["sha256"]
    assert entry == {
        "name": "web",
        "scopes": ["analyze", "openai"],
        "limits": {
            "requests_per_minute": 1,
            "posts_per_minute": 2,
            "concurrent_requests": 3,
            "body_bytes": 4,
            "texts": 5,
            "characters": 6,
        },
        "expires": "2030-02-03T00:00:00Z",
        "share_cache": True,
        "priority": "bulk",
    }


def test_without_a_file_the_entry_is_printed(run):
    result = run("keys", "create", "web", "--scope", "metrics")
    key = result.stdout.strip()
    entry = result.stderr[result.stderr.index("{") : result.stderr.rindex("}") + 1]
    assert json.loads(entry) == {"name": "web", "sha256": [hash_key(key)], "scopes": ["metrics"]}


def test_the_file_may_be_the_deployments(run, path: Path, monkeypatch):
    monkeypatch.setenv("MENTALLLAMA_KEYS_FILE", str(path))
    assert run("keys", "create", "web", "--scope", "admin").exit_code == 0
    assert [entry.name for entry in read_key_file(path).keys] == ["web"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["web", "--scope", "analyze"], "already"),
        (["other", "--scope", "root"], "scopes.0"),
        (["a b", "--scope", "analyze"], "name"),
        (["other", "--scope", "analyze", "--priority", "high"], "priority"),
    ],
)
def test_what_cannot_be_made(run, path: Path, arguments: list[str], said: str):
    create(run, path)
    before = path.read_text()
    result = run("keys", "create", *arguments, "--file", str(path))
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert path.read_text() == before


def test_a_key_is_rotated_in_two_steps(run, path: Path):
    first = create(run, path)
    create(run, path, "other")
    second = run("keys", "rotate", "web", "--file", str(path)).stdout.strip()
    entry = read_key_file(path).keys[0]
    assert entry.sha256 == (hash_key(second), hash_key(first))
    third = run("keys", "rotate", "web", "--file", str(path)).stdout.strip()
    assert read_key_file(path).keys[0].sha256 == (hash_key(third), hash_key(second))
    fourth = run("keys", "rotate", "web", "--now", "--file", str(path)).stdout.strip()
    assert read_key_file(path).keys[0].sha256 == (hash_key(fourth),)
    assert [one.name for one in read_key_file(path).keys] == ["web", "other"]


def test_a_key_is_revoked(run, path: Path):
    create(run, path)
    create(run, path, "other")
    assert run("keys", "revoke", "web", "--file", str(path)).exit_code == 0
    assert [entry.name for entry in read_key_file(path).keys] == ["other"]
    for command in ("revoke", "rotate"):
        result = run("keys", command, "web", "--file", str(path))
        assert result.exit_code == 2
        assert "It has: other" in result.stderr


def test_keys_are_listed_without_their_hashes(run, path: Path):
    create(run, path, "web", "--texts", "5")
    digest = read_key_file(path).keys[0].sha256[0]
    listed = run("keys", "list", "--file", str(path))
    assert "texts 5" in listed.stdout
    assert "web" in listed.stdout
    as_json = run("keys", "list", "--json", "--file", str(path)).stdout
    assert json.loads(as_json)["keys"] == [
        {"name": "web", "scopes": ["analyze"], "limits": {"texts": 5}, "keys": 1}
    ]
    assert digest not in listed.stdout + as_json


def test_a_file_that_cannot_be_written(run, tmp_path: Path):
    path = tmp_path / "nowhere" / "keys.json"
    result = run("keys", "create", "web", "--scope", "analyze", "--file", str(path))
    assert result.exit_code == 2
    assert "cannot be written: No such file or directory." in result.stderr
    assert result.stdout == ""  # no key that nothing accepts
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_none(run, path: Path):
    result = run("keys", "list", "--file", str(path))
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
