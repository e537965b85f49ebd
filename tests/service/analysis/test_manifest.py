import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imhi.tasks import QUESTIONS, WORDING_VERSION
from service.analysis.calibration import QuestionCalibration
from service.analysis.manifest import (
    MANIFEST_FILE,
    CalibrationEntry,
    Manifest,
    PolicyEntry,
    PromptStyle,
    Result,
    Training,
    TrainingData,
    assumed_manifest,
    load_manifest,
    write_manifest,
)
from service.analysis.types import DecisionPolicy
from service.errors import ModelError

SMALL = {
    "schema_version": 1,
    "name": "small",
    "prompt_style": "chat",
    "wording_version": WORDING_VERSION,
}
FULL = Manifest(
    schema_version=1,
    name="full",
    base_model="example/base",
    prompt_style=PromptStyle.BARE,
    wording_version=WORDING_VERSION,
    calibration={"stress": CalibrationEntry(temperature=1.5, bias={"yes": -0.25})},
    policy=PolicyEntry(
        thresholds={"stress": {"yes": 0.4}},
        abstention_band=(0.45, 0.55),
        min_probability=0.3,
        min_label_mass=0.01,
    ),
    training=Training(
        data=(TrainingData(name="dreaddit", sha256="0f" * 32, rows=2837),),
        recipe="small.toml",
        commit="abc1234",
        seed=7,
        questions={"stress": 2837, "loneliness": 0},
    ),
    results=(
        Result(
            set="dreaddit",
            split="test",
            metric="weighted_f1",
            value=0.5,
            interval=(0.4, 0.6),
            command="mentalllama evaluate dreaddit",
        ),
    ),
    licence="Apache-2.0",
    notes="Für Tests.",
)


def put(directory: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (directory / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return directory


def with_field(path: str, value: object) -> dict[str, object]:
    """The smallest manifest with one more field, `/` between the levels."""
    *outer, last = path.split("/")
    content = json.loads(json.dumps(SMALL))
    here = content
    for key in outer:
        here = here.setdefault(key, {})
    here[last] = value
    return content


def test_written_manifest_is_read_back(tmp_path):
    write_manifest(tmp_path, FULL)
    assert load_manifest(tmp_path) == FULL
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_FILE]


@given(
    temperature=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    bias=st.floats(allow_nan=False, allow_infinity=False),
    question=st.sampled_from(list(QUESTIONS.values())),
    notes=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_numbers_and_text_survive_the_file(tmp_path_factory, temperature, bias, question, notes):
    directory = tmp_path_factory.mktemp("model")
    entry = CalibrationEntry(temperature=temperature, bias={question.labels[0].id: bias})
    manifest = FULL.model_copy(update={"calibration": {question.id: entry}, "notes": notes})
    write_manifest(directory, manifest)
    assert load_manifest(directory) == manifest


def test_nothing_is_left_of_a_write_that_fails(tmp_path):
    (tmp_path / MANIFEST_FILE).mkdir()
    with pytest.raises(ModelError, match="cannot be written"):
        write_manifest(tmp_path, FULL)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_FILE]
    with pytest.raises(ModelError, match="cannot be written"):
        write_manifest(tmp_path / "absent", FULL)


def test_directory_without_a_manifest(tmp_path):
    assert load_manifest(tmp_path) is None
    assert load_manifest(tmp_path / "absent") is None
    weights = tmp_path / "model.gguf"
    weights.touch()
    assert load_manifest(weights) is None


def test_smallest_manifest(tmp_path):
    manifest = load_manifest(put(tmp_path, SMALL))
    assert manifest is not None
    assert manifest.prompt_style is PromptStyle.CHAT
    assert manifest.to_policy() == DecisionPolicy()
    assert manifest.to_calibration().questions == {}


def test_byte_order_mark_is_no_obstacle(tmp_path):
    assert load_manifest(put(tmp_path, "\ufeff" + json.dumps(SMALL))) is not None


def test_conversions():
    assert FULL.to_calibration().questions == {"stress": QuestionCalibration(1.5, {"yes": -0.25})}
    assert FULL.to_policy() == DecisionPolicy(
        thresholds={"stress": {"yes": 0.4}},
        abstention_band=(0.45, 0.55),
        min_probability=0.3,
        min_label_mass=0.01,
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["invalid JSON", "line 1"]),
        ("[]", ["object"]),
        ("[" * 100_000, ["invalid JSON"]),
        ({**SMALL, "colour": "red"}, ["`colour`", "not a field"]),
        ({k: v for k, v in SMALL.items() if k != "name"}, ["`name`", "missing"]),
        (with_field("name", ""), ["`name`", "at least 1 character"]),
        (
            {**SMALL, "schema_version": 2, "future": 1},
            ["`schema_version` is not 1", "use the release that wrote this file"],
        ),
        (with_field("prompt_style", "shout"), ["`prompt_style`", "'bare' or 'chat'"]),
        (with_field("calibration/stress/temperature", 0), ["`calibration.stress.temperature`"]),
        (with_field("calibration/stress/temperature", "1"), ["`calibration.stress.temperature`"]),
        (with_field("calibration/joy/temperature", 1), ["`calibration`", "'joy'", "stress_cause"]),
        (with_field("calibration/stress/bias/maybe", 1), ["'maybe'", "yes, no"]),
        (
            '{"schema_version": 1, "name": "a", "prompt_style": "bare", "wording_version": "x", '
            '"calibration": {"stress": {"bias": {"yes": Infinity}}}}',
            ["`calibration.stress.bias.yes`", "finite"],
        ),
        (with_field("training/questions/joy", 1), ["`training`", "'joy'", "stress_cause"]),
        (with_field("training/questions/stress", -1), ["`training.questions.stress`"]),
        (with_field("policy/thresholds/stress/maybe", 0.5), ["`policy`", "does not exist"]),
        (with_field("policy/min_probability", -1), ["`policy.min_probability`"]),
        (with_field("training/data", [{"name": "a", "sha256": "b", "rows": 1}]), ["sha256"]),
        (
            with_field(
                "results",
                [
                    {
                        "set": "SAD",
                        "split": "test",
                        "metric": "weighted_f1",
                        "value": 0.5,
                        "interval": [0.6, 0.4],
                        "command": "x",
                    }
                ],
            ),
            ["`results.0`", "low at most high"],
        ),
    ],
)
def test_broken_manifest_is_explained(tmp_path, content, words):
    with pytest.raises(ModelError) as caught:
        load_manifest(put(tmp_path, content))
    message = caught.value.message
    assert MANIFEST_FILE in message
    for word in words:
        assert word in message
    for word in ("pydantic", "validation error", "input_value", "\n", "Traceback"):
        assert word not in message


def test_all_that_is_wrong_is_named_at_once(tmp_path):
    with pytest.raises(ModelError) as caught:
        load_manifest(put(tmp_path, {**SMALL, "name": 1, "notes": 2}))
    assert "`name`" in caught.value.message
    assert "`notes`" in caught.value.message


def test_unreadable_manifest(tmp_path):
    (tmp_path / MANIFEST_FILE).mkdir()
    with pytest.raises(ModelError, match="cannot be read"):
        load_manifest(tmp_path)


def test_manifest_that_is_no_text(tmp_path):
    (tmp_path / MANIFEST_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="UTF-8"):
        load_manifest(tmp_path)


def test_calibration_for_another_wording_is_refused(tmp_path):
    content = with_field("calibration/stress/temperature", 1.5)
    content["wording_version"] = "imhi-0"
    with pytest.raises(ModelError) as caught:
        load_manifest(put(tmp_path, content))
    for words in ("'imhi-0'", f"'{WORDING_VERSION}'", "Recalibrate", "release"):
        assert words in caught.value.message


def test_another_wording_without_a_calibration_is_served(tmp_path):
    assert load_manifest(put(tmp_path, {**SMALL, "wording_version": "imhi-0"})) is not None


@pytest.mark.parametrize(
    ("model", "template", "style"),
    [
        ("klyang/MentaLLaMA-chat-7B", True, PromptStyle.BARE),
        ("klyang/MentaLLaMA-chat-7B", False, PromptStyle.BARE),
        ("klyang/mentalllama-33B-lora", True, PromptStyle.BARE),
        ("/models/MENTALLAMA-chat-13B/", True, PromptStyle.BARE),
        ("example/other", True, PromptStyle.CHAT),
        ("example/other", False, PromptStyle.BARE),
        ("mentalllama/other", True, PromptStyle.CHAT),
        ("/home/me/MentalLLaMA/build/other", True, PromptStyle.CHAT),
    ],
)
def test_assumed_style(model, template, style):
    manifest = assumed_manifest(model, template)
    assert manifest.prompt_style is style
    assert manifest.wording_version == WORDING_VERSION
    assert MANIFEST_FILE in manifest.notes


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("klyang/MentaLLaMA-chat-7B", "klyang/MentaLLaMA-chat-7B"),
        ("gpt2", "gpt2"),
        ("/srv/models/small", "small"),
        ("../small/", "small"),
        ("~/small", "small"),
        ("a/b/small", "small"),
        (
            "/cache/hub/models--klyang--MentaLLaMA-chat-7B/snapshots/0a1b",
            "klyang/MentaLLaMA-chat-7B",
        ),
    ],
)
def test_assumed_name_shows_no_path(model, name):
    assert assumed_manifest(model, True).name == name
