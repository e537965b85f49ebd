from hypothesis import given
from hypothesis import strategies as st

from training.evaluate.grounding import Grounding, ground

POST = "Lately I can't sleep, and I miss my sister. Nobody asks how I am."


def test_quotes_are_counted_and_looked_up():
    explanation = "The poster says «I CAN'T SLEEP», 'nobody asks' and \"I hate my job\"."
    assert ground(explanation, POST) == Grounding(quotes=3, found=2)


def test_no_quote_is_no_share():
    assert ground("The poster's words are sad.", POST) == Grounding(quotes=0, found=0)


@given(st.lists(st.sampled_from(["I miss my sister", "so tired", "how I am"]), max_size=6))
def test_every_quote_counts_as_often_as_it_is_said(quotes):
    explanation = " and ".join(f'"{quote}"' for quote in quotes)
    found = sum(quote != "so tired" for quote in quotes)
    assert ground(explanation, POST) == Grounding(len(quotes), found)
