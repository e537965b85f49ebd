from __future__ import annotations

import hmac
import logging
import os
from pathlib import Path

import pytest

from service.gate.caller import Priority, cache_salt
from service.gate.keys import (
    KEY_PREFIX,
    KeyRing,
    hash_key,
    load_keys,
    new_key,
    parse_keys,
)
from service.gate.scopes import Scope
from service.settings import InvalidSettingsError, Settings
from tests.service.gate.gates import key_entry, key_file
from tests.service.test_metrics import sample


class Clock:
    """A clock that stands still."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def ring_of(*entries: dict) -> KeyRing:
    found = load_keys(Settings(keys=key_file(*entries)))
    assert found is not None
    return found


def names(ring: KeyRing, *keys: str) -> list[str | None]:
    found = [ring.find(key) for key in keys]
    return [one.caller.name if one else None for one in found]


def test_a_key_is_256_random_bits():
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert key.startswith(KEY_PREFIX)
        assert len(key.removeprefix(KEY_PREFIX)) == 43  # 32 bytes in base64


def test_a_key_stands_for_its_caller():
    ring = ring_of(
        key_entry("a", "ka", scopes=["analyze"], limits={"texts": 3}, priority="bulk"),
        key_entry("b", "kb", share_cache=True),
    )
    found = ring.find("ka")
    assert found is not None
    caller = found.caller
    assert (caller.name, caller.scopes, caller.priority) == ("a", {Scope.ANALYZE}, Priority.BULK)
    assert (caller.limits.texts, caller.limits.characters) == (3, None)
    assert caller.cache_salt == cache_salt("a") != cache_salt("b")
    shared = ring.find("kb")
    assert shared is not None
    assert shared.caller.cache_salt is None
    assert names(ring, "kc", "", hash_key("ka"), "ka ") == [None] * 4


def test_every_hash_is_compared_whether_one_matches_or_not(monkeypatch):
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    ring = ring_of(*(key_entry(f"n{i}", f"k{i}") for i in range(5)))
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for key in ("k0", "k4", "none"):
        compared.clear()
        ring.find(key)
        assert len(compared) == 5


@pytest.mark.parametrize(("expires", "expired"), [("2001-01-01T00:00:00Z", True), (None, False)])
def test_a_key_ends_on_its_date(expires: str | None, expired: bool):
    found = ring_of(key_entry(expires=expires)).find("mentalllama_key-of-a-test")
    assert found is not None
    assert found.expired is expired


def test_an_empty_source_lets_nobody_in():
    ring = load_keys(Settings(keys='{"keys": []}'))
    assert ring is not None
    assert ring.find("anything") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "JSON"),
        ('{"key": []}', "key: "),
        (key_file(key_entry(scopes=["root"])), "keys.0.scopes"),
        (key_file(key_entry(scopes=[])), "keys.0.scopes"),
        (key_file(key_entry(name="a b")), "keys.0.name"),
        (key_file(key_entry(sha256=["secretsecret"])), "keys.0.sha256"),
        (key_file(key_entry(sha256=[])), "keys.0.sha256"),
        (key_file(key_entry(expires="2030-01-01T00:00:00")), "keys.0.expires"),
        (key_file(key_entry(limits={"texts": 0})), "keys.0.limits.texts"),
        (key_file(key_entry(limits={"text": 1})), "keys.0.limits.text"),
        (key_file(key_entry("a", "1"), key_entry("a", "2")), "same name"),
        (key_file(key_entry("a", "1"), key_entry("b", "1")), "same hash"),
        (key_file(key_entry("anonymous")), "anonymous"),
    ],
)
def test_wrong_entries_are_named_without_what_they_hold(content: str, said: str):
    with pytest.raises(InvalidSettingsError, match="SOURCE") as caught:
        parse_keys(content, "SOURCE")
    assert said in caught.value.message
    assert "secret" not in caught.value.message


def test_a_missing_file_stops_the_start(tmp_path: Path):
    with pytest.raises(InvalidSettingsError, match=r"KEYS_FILE.*cannot be read: No such file"):
        load_keys(Settings(keys_file=tmp_path / "none"))


def test_file_and_variable_count_together(tmp_path: Path):
    path = tmp_path / "keys.json"
    path.write_text(key_file(key_entry("a", "ka")))
    ring = load_keys(Settings(keys_file=path, keys=key_file(key_entry("b", "kb"))))
    assert ring is not None
    assert names(ring, "ka", "kb") == ["a", "b"]
    with pytest.raises(InvalidSettingsError, match=r"together.*same name"):
        load_keys(Settings(keys_file=path, keys=key_file(key_entry("a", "other"))))


def replace(path: Path, content: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(content)
    beside.replace(path)


def test_the_file_is_read_again_when_it_changes(tmp_path: Path):
    path, clock = tmp_path / "keys.json", Clock()
    path.write_text(key_file(key_entry("a", "ka")))
    ring = KeyRing(path, clock=clock)
    replace(path, key_file(key_entry("a", "ka"), key_entry("b", "kb")))
    assert names(ring, "kb") == [None]  # looked at once a second
    clock.now = 1
    assert names(ring, "ka", "kb") == ["a", "b"]
    replace(path, key_file(key_entry("b", "kb")))
    clock.now = 2
    assert names(ring, "ka", "kb") == [None, "b"]
    with path.open("w") as file:  # in place, as an editor may
        file.write(key_file())
    os.utime(path, ns=(1, 1))
    clock.now = 3
    assert names(ring, "ka", "kb") == [None, None]


def test_a_broken_file_leaves_the_keys_as_they_were(tmp_path: Path, caplog):
    path, clock = tmp_path / "keys.json", Clock()
    path.write_text(key_file(key_entry("a", "ka")))
    ring = KeyRing(path, clock=clock)
    before = sample("mentalllama_key_file_errors_total")
    replace(path, '{"keys": [')
    with caplog.at_level(logging.ERROR):
        for clock.now in (1, 2, 3):
            assert names(ring, "ka") == ["a"]
    assert sample("mentalllama_key_file_errors_total") == before + 1
    assert len(caplog.records) == 1
    path.unlink()
    clock.now = 4
    assert names(ring, "ka") == ["a"]
    assert sample("mentalllama_key_file_errors_total") == before + 2
    path.write_text(key_file(key_entry("b", "kb")))
    clock.now = 5
    assert names(ring, "ka", "kb") == [None, "b"]
