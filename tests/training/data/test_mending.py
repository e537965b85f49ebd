# ruff: noqa: RUF001 - typographic marks are what is mended
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.mending import TEXT_RULES, Mender, undo_mac_roman, unescape_entities


def damaged(text: str) -> str:
    return text.encode("utf-8").decode("mac_roman")


@pytest.mark.parametrize(
    "text",
    [
        "It’s sound already — “really”…",
        "l’été, c’était l’île",
        "naïve café ¬ † ‚ Ä ô",
        "plain words",
        "”é",
        "",
    ],
)
def test_sound_text_stays(text: str) -> None:
    assert undo_mac_roman(text) == text


@given(st.text(alphabet=st.sampled_from("abc XYZ.,’“”—…éü€🌙"), max_size=40))
def test_what_was_damaged_comes_back(text: str) -> None:
    assert undo_mac_roman(damaged(text)) == text


def test_damaged_and_sound_in_one_text() -> None:
    assert undo_mac_roman("She’s here, he" + damaged("’s") + " not") == "She’s here, he’s not"


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("salt &amp; pepper", "salt & pepper"),
        ("1 &lt; 2 &gt; 0 &#39;x&#39; &#x27;", "1 < 2 > 0 'x' '"),
        ("&amp;lt;3", "<3"),
        ("one&nbsp;two", "one two"),
        ("a&amp;#x200B;b", "ab"),
        ("cats &dogs; &nothing &not", "cats &dogs; &nothing &not"),
        ("AT&T", "AT&T"),
    ],
)
def test_entities(text: str, mended: str) -> None:
    assert unescape_entities(text) == mended


def test_mender_remembers_rows() -> None:
    mend = Mender()
    assert mend("rain &amp; " + damaged("it’s cold"), "a.csv:1") == "rain & it’s cold"
    assert mend("nothing wrong", "a.csv:2") == "nothing wrong"
    mend("again &lt;", "a.csv:3")
    assert {rule: list(rows) for rule, rows in mend.changed.items()} == {
        "mojibake": ["a.csv:1"],
        "entities": ["a.csv:1", "a.csv:3"],
    }


@pytest.mark.parametrize("rule", TEXT_RULES)
def test_a_rule_can_be_switched_off(rule: str) -> None:
    text = "x &amp; " + damaged("it’s")
    mend = Mender(without=[rule])
    kept = {"mojibake": "x & " + damaged("it’s"), "entities": "x &amp; it’s"}[rule]
    assert mend(text, "a.csv:1") == kept
    assert rule not in mend.changed
