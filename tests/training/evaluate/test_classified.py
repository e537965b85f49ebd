"""A classifier's reading of explanations: on other posts, and only where it could learn."""

from __future__ import annotations

from training.evaluate.classified import MIN_ROWS, Told, classified

SAID = {"yes": "They are worn out by pressure.", "no": "They are calm and content."}


def told(number: int, label: str, text: str | None = None, question: str = "stress") -> Told:
    text = f"{SAID[label]} Entry {number}." if text is None else text
    return Told(question, f"post-{number}", label, text)


REFERENCES = [told(number, "yes" if number % 2 else "no") for number in range(80)]


def test_the_label_is_read_in_the_words() -> None:
    given = [
        told(1, "yes"),
        told(2, "yes", SAID["no"]),
        told(900, "no"),
        told(901, "no", SAID["yes"]),
    ]
    assert classified(given, REFERENCES) == [True, False, True, False]


def test_the_reference_on_the_same_post_is_not_learned_from() -> None:
    # On post 3 alone the reference says otherwise; were it learned, these words would say no.
    odd = Told("stress", "post-3", "no", "Zebras zebras zebras everywhere.")
    many = [odd] * MIN_ROWS
    given = [told(3, "yes", "They are worn out by pressure: zebras zebras zebras.")]
    assert classified(given, [*REFERENCES, *many]) == [True]


def test_nothing_is_said_where_nothing_could_be_learned() -> None:
    only_yes = [one for one in REFERENCES if one.label == "yes"]
    assert classified([told(1, "yes")], only_yes) == [None]
    assert classified([told(1, "yes")], []) == [None]
    assert classified([told(1, "yes", question="depression")], REFERENCES) == [None]
    assert classified([told(1, "yes", " ")], REFERENCES) == [None]
    rare = [told(number, "yes", question="x") for number in range(40)]
    rare += [told(100 + number, "no", question="x") for number in range(3)]
    rare += [told(200 + number, "perhaps", SAID["no"], question="x") for number in range(40)]
    assert classified([told(900, "no", question="x")], rare) == [None]
