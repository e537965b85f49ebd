"""What an explanation may quote under the grammar of a post, byte by byte in llguidance."""

# ruff: noqa: RUF001 - typographic marks are what is tested

from __future__ import annotations

from pathlib import Path

import pytest

from service.analysis.evidence import find_quotes
from service.analysis.quotation import quote_grammar, understands
from tests.tokenizers import sentencepiece_tokenizer, word_tokenizer

llguidance = pytest.importorskip("llguidance")  # comes with vLLM

POST = (
    "I can’t sleep. My “friend” said\n\n  \"come back\" and left; it's 3 o'clock 😀 (again). "
    "Café, naïve, 心が痛い."
)


def accepts(post: str, explanation: str, *, whole: bool = True) -> bool:
    """Whether a model may write this, and end there."""
    tokenizer = llguidance.LLTokenizer("byte")
    grammar = llguidance.grammar_from("grammar", quote_grammar(post))
    assert llguidance.LLMatcher.validate_grammar(grammar, tokenizer) == ""
    matcher = llguidance.LLMatcher(tokenizer, grammar)
    tokens = tokenizer.tokenize_str(explanation)
    taken = matcher.try_consume_tokens(tokens) == len(tokens)
    assert matcher.get_error() == ""
    return taken and (matcher.is_accepting() or not whole)


@pytest.mark.parametrize(
    "quote",
    [
        "I can't sleep",
        "sleep",
        "sleep. My",
        "and left; it's 3 o'clock 😀 (again)",
        "friend",
        "come back",
        "Café, naïve, 心が痛い.",
    ],
)
def test_words_of_the_post_may_be_quoted(quote: str) -> None:
    text = f' The post says "{quote}", which is telling.'
    assert accepts(POST, text)
    [found] = find_quotes(text, POST)
    assert found.evidence


@pytest.mark.parametrize(
    "quote",
    [
        "I cannot sleep",
        "i can't sleep",
        "ca",
        "an’t sleep",
        "friend said",  # a mark of the post stands between
        "said come back",
        " sleep",
        "sleep ",
        "",
        ".",
        "3",
        "sleep My",
        "left",
    ],
)
def test_nothing_else_may(quote: str) -> None:
    allowed = {"left"}  # a word of the post: the counterpart that shows that the test can fail
    assert accepts(POST, f' It says "{quote}".') is (quote in allowed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " No quote at all, it's the poster's own words; 'single' marks are free.",
        ' "sleep" begins it',
        ' it ends in "sleep"',
        ' "sleep" and "friend", then "come back".',
        " two\n\nparagraphs",
    ],
)
def test_the_rest_is_free(text: str) -> None:
    assert accepts(POST, text)


@pytest.mark.parametrize("text", [" “sleep”", " „sleep“", " «sleep»", ' "sleep""friend"'])
def test_other_marks_are_not_written(text: str) -> None:
    assert not accepts(POST, text)


def test_an_open_quote_is_no_end() -> None:
    assert not accepts(POST, ' It says "cat', whole=False)
    assert accepts(POST, ' It says "sleep', whole=False)
    assert not accepts(POST, ' It says "sleep')


@pytest.mark.parametrize("post", ["!!! 😀", '"""', "1234", '" " "'])
def test_a_post_without_words_is_not_quoted(post: str) -> None:
    assert accepts(post, " Nothing to quote.")
    assert not accepts(post, ' It says "', whole=False)


def test_a_post_that_looks_like_a_grammar_is_text() -> None:
    post = '/a+/ %regex {"x": 1} | start: (b)* \\d \\" \n"c"'
    assert accepts(post, ' It says "start: (b)* \\d".')
    assert not accepts(post, ' It says "aaa".')


def test_a_tokenizer_whose_tokens_have_no_bytes_is_told_apart(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    assert understands(sentencepiece_tokenizer(tmp_path))
    assert not understands(word_tokenizer())
    assert not understands(object())


def test_a_long_post_has_a_grammar() -> None:
    words = [f"word{number}" for number in range(20_000)]
    assert accepts(" ".join(words), f' It says "{" ".join(words[9_000:9_010])}".')
    assert not accepts(" ".join(words), ' It says "word7 word9".')


@pytest.mark.parametrize(
    "text",
    [
        " It supports the diagnosis of it.",
        " Diagnosed with it",
        "diagnosis",
        ' It says "sleep", as patients do.',
        " The symptoms\nmeet the CRITERIA.",
    ],
)
def test_words_of_clinical_reports_are_not_written(text: str) -> None:
    assert not accepts(POST, text)
    assert not accepts("1234", text)  # nor where nothing can be quoted


@pytest.mark.parametrize("text", [" was diagnosed", ' "diagnosed" is said', " a Diagnosis"])
def test_a_clinical_word_of_the_post_is_free(text: str) -> None:
    assert accepts("Last week I was diagnosed by Dr. House.", text)
    assert not accepts("Last week I was diagnosed by Dr. House.", " a patient")


def test_words_that_only_hold_such_a_word_are_free() -> None:
    assert accepts(POST, " A diagram of an impatient poster, and a di agnostic.")
