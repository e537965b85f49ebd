from __future__ import annotations

from pathlib import Path

import pytest

from service.analysis.types import DecisionPolicy
from service.settings import InvalidSettingsError, Settings, load_policy, load_settings


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("MENTALLLAMA_MAX_TEXTS", "3")
    monkeypatch.setenv("MENTALLLAMA_URGENT_RESOURCES", "Ring 112.")
    settings = load_settings()
    assert (settings.max_texts, settings.urgent_resources) == (3, "Ring 112.")


@pytest.mark.parametrize("value", ["0", "many", ""])
def test_a_wrong_setting_is_named_without_its_value(monkeypatch, value: str):
    monkeypatch.setenv("MENTALLLAMA_MAX_TEXTS", value)
    with pytest.raises(InvalidSettingsError, match=r"^MENTALLLAMA_MAX_TEXTS: ") as caught:
        load_settings()
    assert "many" not in caught.value.message


def policy_of(path: Path, text: str) -> DecisionPolicy | None:
    path.write_text(text)
    return load_policy(Settings(decision_policy=path))


def test_a_policy_file(tmp_path: Path):
    text = '{"thresholds": {"stress": {"yes": 0.8}}, "abstention_band": [0.4, 0.6]}'
    policy = policy_of(tmp_path / "policy.json", text)
    assert policy == DecisionPolicy({"stress": {"yes": 0.8}}, (0.4, 0.6))


def test_without_a_file_there_is_no_policy():
    assert load_policy(Settings()) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "JSON"),
        ('{"threshold": {}}', "threshold"),
        ('{"abstention_band": [0.6, 0.4]}', "abstention_band"),
    ],
)
def test_a_broken_policy_file_says_what_is_wrong(tmp_path: Path, text: str, said: str):
    with pytest.raises(InvalidSettingsError, match="MENTALLLAMA_DECISION_POLICY") as caught:
        policy_of(tmp_path / "policy.json", text)
    assert said in caught.value.message


def test_a_missing_policy_file(tmp_path: Path):
    settings = Settings(decision_policy=tmp_path / "none.json")
    with pytest.raises(InvalidSettingsError, match="cannot be read: No such file"):
        load_policy(settings)
