# ruff: noqa: RUF001 - telling look-alike characters apart is what is tested

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.analysis.evidence import find_evidence, find_quotes

MARKS = [
    ('"', '"'),
    ("“", "”"),
    ("‘", "’"),
    ("'", "'"),
    ("«", "»"),
    ("« ", " »"),
    ("`", "`"),
    ("„", "“"),
]
# Letters whose case, composition or compatibility form changes their number.
LETTERS = [
    *"abcXYZ",
    "ß",
    "ẞ",
    "ﬁ",
    "é",
    "e\u0301",
    "İ",
    "ς",
    "Σ",
    "Ж",
    "ｂ",
    "ǆ",
    "한",
    "\u1112\u1161",
    "हि",
]
WORDS = st.builds(
    lambda letters, suffix: "".join(letters) + suffix,
    st.lists(st.sampled_from(LETTERS), min_size=2, max_size=6),
    st.sampled_from(["", "", "'s", "’ll"]),
)
GAPS = st.sampled_from([" ", "\n", "\t ", "\u00a0", ", ", ". ", " — ", "-", "... ", "…", "! "])
NASTY = st.lists(
    st.sampled_from([*LETTERS, *"ab1 .,-…—\n\"'“”‘’«»‹›„`\u0301\u200b\u00ad\0½"]), max_size=60
).map("".join)


def quotes(explanation, post):
    found = find_evidence(explanation, post)
    for piece in found:
        assert piece.quote == post[piece.start : piece.end]
    return [piece.quote for piece in found]


def same(text):
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


@st.composite
def posts(draw):
    """Words and what stands between them, and the offsets of a slice from one word to another."""
    words = draw(st.lists(WORDS, min_size=1, max_size=12))
    text = draw(st.sampled_from(["", "(", "- ", "\n"]))
    spans = []
    for word in words:
        spans.append((len(text), len(text) + len(word)))
        text += word + draw(GAPS)
    first = draw(st.integers(0, len(spans) - 1))
    last = draw(st.integers(first, len(spans) - 1))
    return text, spans[first][0], spans[last][1]


def assert_found(explanation, post, start, end):
    """The slice is the evidence, or the same words further up."""
    (found,) = find_evidence(explanation, post)
    assert found.quote == post[found.start : found.end]
    assert re.findall(r"\w+", same(found.quote)) == re.findall(r"\w+", same(post[start:end]))
    assert (found.start, found.end) == (start, end) or found.start < start


@given(posts(), st.sampled_from(MARKS))
def test_a_slice_of_the_post_is_found(case, marks):
    post, start, end = case
    opening, closing = marks
    assert_found(f"It says {opening}{post[start:end]}{closing} here.", post, start, end)


@st.composite
def perturbed(draw):
    post, start, end = draw(posts())
    quote = post[start:end]
    change = draw(st.sampled_from(["upper", "lower", "NFC", "NFD", "NFKC", "space", "kinds"]))
    if change == "upper":
        quote = quote.upper()
    elif change == "lower":
        quote = quote.lower()
    elif change == "space":
        quote = re.sub(r"\s+", draw(st.sampled_from([" ", "  ", "\n\t", "\u2003"])), quote)
    elif change == "kinds":
        quote = quote.translate({0x27: "’", 0x2019: "'", 0x2014: "–", 0x2D: "‑", 0x2026: "..."})
    else:
        quote = unicodedata.normalize(change, quote)
    before, after = draw(
        st.sampled_from([("", ""), ("", "."), ("...", "…"), ("[", "]"), ("*", ",")])
    )
    return post, start, end, before + quote + after


@given(perturbed(), st.sampled_from([('"', '"'), ("“", "”"), ("«", "»")]))
def test_a_slice_is_found_whatever_its_form(case, marks):
    post, start, end, quote = case
    assert_found(f"It says {marks[0]}{quote}{marks[1]} here.", post, start, end)


@given(st.text("ab ,", max_size=40), st.text("ab ,", min_size=1, max_size=8))
def test_found_exactly_where_a_search_for_whole_words_finds_it(post, quote):
    words = re.sub(" +", " +", re.escape(quote.strip(" ,")).replace(r"\ ", " "))
    found = [(e.start, e.end) for e in find_evidence(f"“{quote}”", post)]
    if len(quote.strip(" ,")) < 2:
        assert found == []
    else:
        match = re.search(rf"(?<![ab]){words}(?![ab])", post)
        assert found == ([match.span()] if match else [])


@given(NASTY, NASTY)
def test_whatever_is_given_the_evidence_stands_in_the_post(explanation, post):
    found = find_evidence(explanation, post)
    assert list(found) == sorted(set(found), key=lambda e: (e.start, e.end))
    for piece in found:
        assert 0 <= piece.start < piece.end <= len(post)
        assert piece.quote == post[piece.start : piece.end]
        assert any(character.isalpha() for character in piece.quote)
        assert not piece.quote[0].isspace()


POST = (
    "Lately i can’t sleep, and my parents' house feels empty... I feel so tired -- so alone. "
    "He said 'go away' to me.\nI’m\n\n not okay. The straße is ﬁne. My heart, my cafe\u0301. 24/7."
)


@pytest.mark.parametrize(
    ("explanation", "expected"),
    [
        ("The poster writes “I can't sleep.”", ["i can’t sleep"]),
        ('The poster writes "I CAN\'T SLEEP, AND".', ["i can’t sleep, and"]),
        ("the poster's 'can't sleep' remark", ["can’t sleep"]),
        ("The poster’s ‘can’t sleep’ remark", ["can’t sleep"]),
        ("the posters' words, 'so tired', show it", ["so tired"]),
        ("the words 'my parents' house feels empty' show it", ["my parents' house feels empty"]),
        ("the words ‘my parents’ house’ show it", ["my parents' house"]),
        ("«so tired» and « so alone » and ‹not okay›", ["so tired", "so alone", "not okay"]),
        ("`so tired` and „not okay“ and „so alone”", ["so tired", "so alone", "not okay"]),
        ('""so tired"", \\"so alone\\", "not okay"', ["so tired", "so alone", "not okay"]),
        ('"so tired","so alone"', ["so tired", "so alone"]),
        ("'so tired','(so alone)'", ["so tired", "so alone"]),
        ('"I\'m not okay"', ["I’m\n\n not okay"]),
        ('"so tired—so alone"', ["so tired -- so alone"]),
        ('"so tired – so alone"', ["so tired -- so alone"]),
        ('"feels empty … I feel"', ["feels empty... I feel"]),
        ('"I feel … alone"', ["I feel", "alone"]),
        (
            '"I can\'t sleep [...] so tired . . . not okay"',
            ["i can’t sleep", "so tired", "not okay"],
        ),
        ('"…so tired…"', ["so tired"]),
        ('"STRASSE is fine"', ["straße is ﬁne"]),
        ('"my CAFÉ"', ["my cafe\u0301"]),
        ("“He said ‘go away’ to me”", ["He said 'go away' to me"]),
        ("“She wrote ‘go away’ once”", ["go away"]),
        ('He "said "go away" to', ["go away"]),
        ("“unclosed and “so tired” here", ["so tired"]),
        ('A 6" board says "so tired" here', ["so tired"]),
        ('" so tired "', ["so tired"]),
        ('"so tired" and again "So tired"', ["so tired"]),
        ('"alone" before "sleep"', ["sleep", "alone"]),
        ('"so"', ["so"]),
    ],
)
def test_found(explanation, expected):
    assert quotes(explanation, POST) == expected


@pytest.mark.parametrize(
    "explanation",
    [
        "",
        "no quotes at all",
        "so tired, and alone",
        '"art" and "heart my"',  # inside a word; punctuation left out inside
        '"I can"',  # the post says can't
        '"cafe"',  # another letter than é
        '"m"',
        '"24/7"',
        '"..." and "—" and ""',
        '"alone … I feel"',  # the wrong order
        '"I feel … hopeless"',  # one part is not there
        "the poster's sleep isn't good",  # apostrophes
        'unclosed "so tired',
        "unopened so tired”",
        "'unclosed so tired",
        "rock 'n' roll",
    ],
)
def test_not_found(explanation):
    assert quotes(explanation, POST) == []


def test_the_first_occurrence_counts():
    found = find_evidence('"so sad"', "so sad, so sad")
    assert [(e.start, e.end) for e in found] == [(0, 6)]


def test_offsets_are_code_points():
    post = "😶‍🌫️ ﬁﬁ so ﬆill"
    (piece,) = find_evidence('"so still"', post)
    assert (piece.start, piece.end) == (post.index("so"), len(post))


def test_parts_of_a_quote_follow_each_other():
    post = "tired of it, then calm, then tired"
    found = find_evidence('"calm ... tired"', post)
    assert [(e.start, e.end) for e in found] == [(18, 22), (29, 34)]


def test_invisible_characters_do_not_matter():
    post = "I am \ufeffso\u200b ti\u00adred\u2060 now"
    assert quotes('"so tired"', post) == ["so\u200b ti\u00adred"]


def test_characters_that_decompose_to_a_space_and_more():
    assert quotes('"\u037aα now"', "tired -\u037aα now") == ["\u037aα now"]


def test_marks_that_are_characters_of_their_own_belong_to_the_word():
    assert quotes('"ﾊﾝｶﾞ"', "ﾊﾝｶﾞ") == ["ﾊﾝｶﾞ"]


def said(explanation, post):
    """Each quote as the explanation has it, and how many pieces of evidence it has."""
    return [
        (explanation[quote.start : quote.end], len(quote.evidence))
        for quote in find_quotes(explanation, post)
    ]


@pytest.mark.parametrize(
    ("explanation", "expected"),
    [
        ("no quotes, only the posters' words", []),
        ('"so tired" and "hopeless"', [("so tired", 1), ("hopeless", 0)]),
        ('"so tired" and again "SO TIRED"', [("so tired", 1), ("SO TIRED", 1)]),
        ('"I can\'t sleep … so alone"', [("I can't sleep … so alone", 2)]),
        ('"I feel … hopeless"', [("I feel … hopeless", 0)]),
        ('"24/7", "m" and "!"', []),
        ("“He said ‘go away’ to me”", [("He said ‘go away’ to me", 1)]),
        ("“He said ‘come here’ to me”", [("He said ‘come here’ to me", 0)]),
        ("“She wrote ‘go away’ once”", [("She wrote ‘go away’ once", 0), ("go away", 1)]),
        ("the words 'my parents' house feels empty'", [("my parents' house feels empty", 1)]),
        ("the words 'their parents' house' show it", [("their parents", 0)]),
    ],
)
def test_what_counts_as_a_quote(explanation, expected):
    assert said(explanation, POST) == expected


@given(NASTY, NASTY)
def test_quotes_are_the_evidence_and_what_is_missing(explanation, post):
    found = find_quotes(explanation, post)
    assert list(found) == sorted(found, key=lambda quote: quote.start)
    pieces = {piece for quote in found for piece in quote.evidence}
    assert pieces == set(find_evidence(explanation, post))
    for quote in found:
        assert 0 < quote.start < quote.end < len(explanation)
        others = [one for one in found if one is not quote]
        if not quote.evidence:
            assert not any(one.start <= quote.start and quote.end <= one.end for one in others)


@given(posts(), st.sampled_from(MARKS))
def test_a_quote_that_is_not_in_the_post_is_counted(case, marks):
    post, start, end = case
    quote = f"{post[start:end]} qqww"
    found = find_quotes(f"It says {marks[0]}{quote}{marks[1]} here.", post)
    assert len(found) == 1
    assert found[0].evidence == ()


def takes_less(seconds, explanation, post):
    """Whether one of three runs takes so little of the processor's time."""

    def run():
        before = time.process_time()
        find_evidence(explanation, post)
        return time.process_time() - before

    return any(run() < seconds for _ in range(3))


@pytest.mark.parametrize(
    ("explanation", "post"),
    [
        ("“a " * 20_000 + "b" + "”" * 20_000, "a " * 40_000),
        ("'a" * 5000 + "' " * 5000, "a' " * 6000),
        ("‘" + "ab’ " * 20_000, "ab " * 24_000),
        ('"a a b" ' * 2500, "a " * 10_000),
        ('"a … a … b" ' * 1600, "a " * 10_000),
        ('"' + "ab" * 9000 + 'c"', "ab" * 10_000),
        ('"a' + " " * 19_000 + 'b"', "a" + " " * 19_000),
        ('"a' + " -" * 9000 + 'b"', "a" + " ." * 9000),
    ],
)
def test_no_explanation_is_slow_to_search(explanation, post):
    assert takes_less(0.5, explanation, post)
