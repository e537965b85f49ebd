import pytest

from tests.training.data.folders import SAD, example, post
from training.data.cleaning import RULES, clean, rules_but
from training.data.example import Example, Split


def found_by(rule: str, *examples: Example) -> list[str]:
    """Ids of the posts' rows that one rule finds."""
    _, findings = clean(examples, rules=[RULES[rule]])
    return list(findings[0].found)


@pytest.mark.parametrize("text", ["", "  ", "#NAME?", " #REF! ", "?!", "🌧🌧", "\n"])
def test_broken_posts(text: str) -> None:
    assert found_by("broken", example(text)) != []


@pytest.mark.parametrize("text", ["Why does my sheet say #NAME? here", "ok", "数"])
def test_posts_that_are_not_broken(text: str) -> None:
    assert found_by("broken", example(text)) == []


def test_short_posts() -> None:
    nine, ten = example("123456789", row=1), example("1234567890", row=2)
    assert found_by("short", nine, ten) == [nine.id]


@pytest.mark.parametrize(
    "text",
    [
        "Gestern hatte ich im Büro viel zu tun, heute bleibe ich lieber zu Hause und lese.",
        "Ayer tuve el examen de historia, creo que fue bien, gracias por preguntar hoy.",
        "сегодня я весь день искал ключи от машины",
        "今日は一日中図書館で勉強しました。とても疲れた。",
    ],
)
def test_posts_that_are_not_english(text: str) -> None:
    assert found_by("not-english", example(text)) != []


@pytest.mark.parametrize(
    "text",
    [
        "I was at the office all day and it was fine",
        "Bus delays again",
        "work homework laundry dishes repeat",
        "Had a café au lait with José, then we took the tram home to Zürich",
        "12345 67890",
    ],
)
def test_posts_that_count_as_english(text: str) -> None:
    assert found_by("not-english", example(text)) == []


def test_contradictions_all_go() -> None:
    yes = example(post(1), label="yes", row=1)
    no = example(post(1).upper(), label="no", row=2)
    other = example(post(2), label="no", row=3)
    again = example(post(1), label="yes", row=4)
    assert found_by("contradictions", yes, no, other, again) == [yes.id, no.id, again.id]


def test_another_set_split_or_question_is_no_contradiction() -> None:
    rows = [
        example(post(1), label="yes"),
        example(post(1), label="no", split=Split.VAL),
        example(post(1), label="no", set_id="DR"),
        example(post(1), SAD, "work", row=2),
    ]
    assert found_by("contradictions", *rows) == []
    assert found_by("duplicates", *rows) == []


def test_of_duplicates_one_with_an_explanation_stays() -> None:
    bare = example(post(1), row=1, explanation=None)
    explained = example(post(1) + "!", row=2)
    third = example(post(1), row=3)
    assert found_by("duplicates", bare, explained, third) == [bare.id, third.id]
    assert found_by("duplicates", bare, example(post(1), row=3, explanation=None)) == [third.id]


@pytest.mark.parametrize(
    ("rule", "explanation"),
    [
        ("leaked-examples", "Unlike the first example, this post is calm."),
        ("leaked-examples", "As in the previous examples, the poster is tired."),
        ("leaked-examples", "The examples above are different."),
        ("leaked-examples", "This is like example 2."),
        ("refusals", "As an AI language model, I have no view."),
        ("refusals", "Apologies, but there is nothing to say."),
        ("refusals", "I'm sorry, the post is too short."),
        ("refusals", "Please provide more information."),
        ("cut-off", "The poster says that the day was"),
        ("cut-off", "The poster is tired,"),
        ("contrary-verdict", "A long day. The poster does not suffer from stress."),
        ("quotes", 'The poster writes "I love holidays".'),
    ],
)
def test_explanations_that_are_left_out(rule: str, explanation: str) -> None:
    row = example(post(1), explanation=explanation)
    (left,), (finding,) = clean([row], rules=[RULES[rule]])
    assert finding.applied == (row.id,)
    assert left.explanation is None
    assert left.label is row.label


@pytest.mark.parametrize(
    "explanation",
    [
        "For example, the poster is tired.",
        "The poster gives several examples of long days.",
        'The poster writes "Entry 1" and is experiencing stress.',
        'The poster ends with "thing1x11."',
        "The poster says sorry to a friend.",
        "A long day (and a longer night).",
        "There is a lot of stress…",
    ],
)
def test_explanations_that_stay(explanation: str) -> None:
    row = example(post(1), explanation=explanation)
    (left,), findings = clean([row], rules=rules_but())
    assert left is row
    assert [finding.found for finding in findings] == [()] * len(RULES)


def test_what_a_quote_says_is_not_the_explanations_own() -> None:
    text = "I read the first example and said: sorry, as an AI would."
    row = example(text, explanation=f'The poster writes "{text}"')
    assert found_by("leaked-examples", row) == []
    assert found_by("refusals", row) == []


def test_the_share_of_quotes_is_a_choice() -> None:
    half = example(post(1), explanation='Both "Entry 1" and "not there at all" are said.')
    strict, loose = rules_but(quotes_found=0.51)[-1], rules_but(quotes_found=0.5)[-1]
    assert strict.find([half]) == {half.id}
    assert loose.find([half]) == set()


@pytest.mark.parametrize("split", [Split.VAL, Split.TEST])
def test_val_and_test_are_counted_and_left_alone(split: Split) -> None:
    rows = [
        example("#NAME?", split=split, row=1),
        example(post(1), split=split, row=2, explanation="As in the first example."),
    ]
    left, findings = clean(rows, rules=rules_but())
    assert left == tuple(rows)
    found = {finding.rule.id: finding.found for finding in findings}
    assert found["broken"] == (rows[0].id,)
    assert found["leaked-examples"] == (rows[1].id,)
    assert all(finding.applied == () for finding in findings)

    left, _ = clean(rows, rules=rules_but(), everywhere=True)
    assert [(e.id, e.explanation) for e in left] == [(rows[1].id, None)]


def test_a_removed_row_is_found_by_no_later_rule() -> None:
    rows = [example("#NAME?", label=label, row=i) for i, label in enumerate(("yes", "no"))]
    _, findings = clean(rows, rules=rules_but())
    assert [finding.rule.id for finding in findings if finding.found] == ["broken"]
