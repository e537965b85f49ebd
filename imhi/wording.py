"""Queries and answers as text.

A post and a question go in, the query that a model reads comes out; a label and an explanation go
in, the response that a model is trained to write comes out. Two wordings exist in IMHI (arXiv
2309.13567): the *instruction* wording, which MentalLLaMA was trained on and which is served, and
the *completion* wording for models that do not follow instructions (BART, T5).

The post stands first and the question last, so that all questions on one post share its tokens.
`escape_post` keeps a post from closing its quotation and asking a question of its own.
"""

from __future__ import annotations

import re

from imhi.tasks import QUESTIONS, Label, Question

QUERY_HEAD = 'Consider this post: "'
"""What stands before the post."""

ANSWER_SEPARATOR = " "
"""What stands between a query and the answer to it, where both are one text."""

REASONING = " Reasoning:"
"""What stands between an answer sentence and its explanation; a space follows it."""

_CLOSING_QUOTE = re.compile(r'"(?=\s*question:)', re.IGNORECASE)
# `.*` is greedy, so the delimiter found is the last one.
_BODY = re.compile(r'(?P<post>.*)"\s*question:(?P<question>.*)', re.IGNORECASE | re.DOTALL)
_BY_TEXT = {question.text: question for question in QUESTIONS.values()}


def find_question(text: str) -> Question | None:
    """Return the question with this text in the instruction wording, or None."""
    return _BY_TEXT.get(text.strip())


def query_tail(question: Question) -> str:
    """Return what stands after the post, from the closing quote on."""
    return f'" Question: {question.text}'


def escape_post(post: str) -> str:
    """Return the post unable to close its quotation and ask a question.

    A straight double quote that is followed by optional whitespace and "Question:" (in any case)
    becomes a single quote. Every other post comes back unchanged, as does an escaped one.
    """
    return _CLOSING_QUOTE.sub("'", post)


def render_query(post: str, question: Question) -> str:
    """Return the query in the instruction wording."""
    return QUERY_HEAD + escape_post(post) + query_tail(question)


def parse_query(query: str) -> tuple[str, Question]:
    """Return the (escaped) post and the question of a query in the instruction wording.

    The last delimiter counts. Raise ValueError where there is no head, no delimiter or no known
    question; its message never holds any of the query's text.
    """
    if not query.startswith(QUERY_HEAD):
        raise ValueError(f"not a query: it does not start with {QUERY_HEAD!r}")
    parts = _BODY.fullmatch(query, len(QUERY_HEAD))
    if parts is None:
        raise ValueError("not a query: no closing quote with 'Question:' after the post")
    question = find_question(parts["question"])
    if question is None:
        raise ValueError("not a query: what stands after the last 'Question:' is no IMHI question")
    return parts["post"], question


def render_answer(label: Label, explanation: str) -> str:
    """Return the whole response in the instruction wording."""
    return f"{label.answer}{REASONING} {explanation}"


def render_completion_query(post: str, question: Question) -> str:
    """Return the query in the completion wording, with the trailing space that IMHI's files have.

    The post is not quoted there and is left as it is: this wording is for training and for
    comparison on known data, not for posts from outside.
    """
    return f"Post: {post}  Question: {question.stub} "


def render_completion_answer(label: Label, explanation: str) -> str:
    """Return the whole response in the completion wording."""
    return f"{label.completion}{REASONING} {explanation}"
