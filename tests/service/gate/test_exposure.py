from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest
from starlette.datastructures import State

from service.gate.exposure import (
    VLLM_KEY,
    UnprotectedError,
    check_exposure,
    is_local,
    keys_of_vllm,
)
from service.gate.keys import load_keys
from service.gate.scopes import Scope
from service.server import protect
from service.settings import InvalidSettingsError, Settings
from tests.service.gate.gates import key_entry, key_file

KEYS = key_file(key_entry())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_this_machine(host: str):
    assert is_local(host)
    check_exposure(Settings(), host)


@pytest.mark.parametrize("host", [None, "", "0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0"])
def test_anywhere_else_needs_keys(host: str | None):
    assert not is_local(host)
    with pytest.raises(UnprotectedError, match="mentalllama keys create") as caught:
        check_exposure(Settings(), host)
    assert "EXTERNAL_AUTHENTICATION" in caught.value.message
    check_exposure(Settings(keys=KEYS), host)
    check_exposure(Settings(external_authentication=True), host)
    check_exposure(Settings(), host, socket=True)
    check_exposure(Settings(), host, api_key=True)


def test_one_kind_of_key_only():
    with pytest.raises(InvalidSettingsError, match="only one"):
        check_exposure(Settings(keys=KEYS), "127.0.0.1", api_key=True)


def test_vllms_own_key_is_one_caller():
    ring = load_keys(Settings(keys=keys_of_vllm(["one", "two"])))
    assert ring is not None
    for key in ("one", "two"):
        found = ring.find(key)
        assert found is not None
        assert found.caller.name == VLLM_KEY
        assert found.caller.scopes == set(Scope) - {Scope.ADMIN}
    assert ring.find("three") is None


def options(**given: object) -> Namespace:
    return Namespace(**{"host": "127.0.0.1", "uds": None, "api_key": None, **given})


@pytest.fixture(autouse=True)
def environment(monkeypatch) -> None:
    for name in ("MENTALLLAMA_KEYS", "MENTALLLAMA_KEYS_FILE", "VLLM_API_KEY"):
        monkeypatch.setenv(name, "")  # so that what a test sets is taken back
        monkeypatch.delenv(name)


def test_a_server_that_others_reach_does_not_start_without_keys():
    with pytest.raises(UnprotectedError):
        protect(options(host="0.0.0.0"))
    protect(options(uds="/run/socket", host=None))


def test_a_server_of_this_machine_says_why_it_is_one(capsys):
    protect(options())
    assert "only this machine" in capsys.readouterr().err


@pytest.mark.parametrize("variable", [True, False])
def test_vllms_key_guards_every_route(monkeypatch, variable: bool):
    import os

    if variable:
        monkeypatch.setenv("VLLM_API_KEY", "theirs")
    protect(options(host="0.0.0.0", api_key=None if variable else ["theirs"]))
    ring = load_keys(Settings(keys=os.environ["MENTALLLAMA_KEYS"]))
    assert ring is not None
    assert ring.find("theirs") is not None
    assert "theirs" not in os.environ["MENTALLLAMA_KEYS"]


@pytest.mark.parametrize("api_key", [None, ["theirs"]])
async def test_the_plugin_alone_does_not_open_a_server_either(api_key: list[str] | None):
    from service.plugin import MentalLlamaPlugin

    engine: Any = object()
    for host in ("0.0.0.0", None):
        with pytest.raises(UnprotectedError):
            await MentalLlamaPlugin().init_state(
                engine, State(), options(host=host, api_key=api_key)
            )


def test_broken_keys_stop_the_start(monkeypatch, tmp_path):
    path = tmp_path / "keys.json"
    path.write_text("{")
    monkeypatch.setenv("MENTALLLAMA_KEYS_FILE", str(path))
    with pytest.raises(InvalidSettingsError, match="KEYS_FILE"):
        protect(options(host="0.0.0.0"))
