from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imhi.tasks import QUESTIONS
from service.analysis.analyzer import Analyzer
from service.analysis.manifest import assumed_manifest
from service.analysis.redaction import Redacting, redact
from service.analysis.types import Completed, Explain, Options, Truncation
from tests.service.analysis.engines import FakeEngine
from tests.tokenizers import word_tokenizer


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("write to jo.doe+x@mail.example.org, ok", "write to [email], ok"),
        ("Jörg@bücher.example.", "[email]."),
        ("see https://example.org/a?b=c#d.", "see [link]."),
        ("(www.example.org/x)", "([link])"),
        ("on my-page.tumblr.com/post/1 I wrote", "on [link] I wrote"),
        ("thanks @quiet_owl! and @a.b.", "thanks [handle]! and [handle]."),
        ("@owl@social.example says", "[handle] says"),
        ("u/quiet-owl and /u/other_owl", "[handle] and [handle]"),
        ("add me: quiet.owl#1234", "add me: [handle]"),
        ("call +44 20 7946 0958 now", "call [phone] now"),
        ("call (555) 010-4477.", "call [phone]."),
        ("call 555-010-4477 or 0151 23456789", "call [phone] or [phone]"),
        ("call 5550104477", "call [phone]"),
    ],
)
def test_what_identifies_by_its_form_is_taken_out(text: str, seen: str) -> None:
    assert redact(text).text == seen


@pytest.mark.parametrize(
    "text",
    [
        "I woke up at 4.30 and again at 5:15.",
        "It was 2024-05-12, or 12.05.2024, or 12/5/2024.",
        "There were 1 000 000 or 10.000.000 of them.",
        "50/50, 24/7, 1-2-3-4-5-6-7",
        "I ate nothing.She called.It was ok",
        "e.g. this, i.e. that, etc.",
        "me @ home, u/ok",
        "I scored 3/10 and/or cried.",
        "",
    ],
)
def test_what_does_not_stays(text: str) -> None:
    assert redact(text).text == text
    assert redact(text).spans == ()


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            ["@owl ", "a@b.org ", "https://x.org/y ", "+44 20 7946 0958 ", "I cannot sleep. ", "🙂"]
        ),
        st.text(max_size=12),
    )
)


@settings(max_examples=40)
@given(PIECES)
def test_offsets_lead_back(pieces: list[str]) -> None:
    text = "".join(pieces)
    redacted = redact(text)
    assert redact(redacted.text).text == redacted.text, "nothing is left to be taken out"
    kept = 0
    for first, last, first_original, last_original in redacted.spans:
        assert redacted.text[first] == "["
        assert redacted.text[last - 1] == "]"
        for inside in range(first, last):
            assert redacted.start(inside) == first_original
            assert redacted.end(inside + 1) == last_original
        for outside in range(kept, first):
            assert text[redacted.start(outside)] == redacted.text[outside]
            assert redacted.end(outside + 1) == redacted.start(outside) + 1
        kept = last
    assert redacted.start(len(redacted.text)) == len(text)
    assert redacted.end(0) == 0


@pytest.mark.parametrize(
    "text", [unit * 50_000 for unit in ("a.", "@@", "1 ", "aa", "w@", "u/", "@a.", "a-", "http://")]
)
def test_no_text_takes_long(text: str) -> None:
    begun = time.perf_counter()
    redact(text)
    assert time.perf_counter() - begun < 5


POST = "@owl said “be quicker” to me at work@firm.example and I could not sleep."


def analyzer(explanation: str) -> tuple[Redacting, FakeEngine]:
    engine = FakeEngine(explanation, max_model_len=600)
    made = Analyzer(engine, word_tokenizer(), assumed_manifest("x", True), "tested")
    return Redacting(made), engine


async def test_evidence_stands_in_the_post_as_it_was_sent() -> None:
    redacting, _ = analyzer(' It says "I could not sleep" and "me at [email] and" too.')
    options = Options(explain=Explain.ALWAYS)
    questions = (QUESTIONS["stress"],)
    analysis = await redacting.analyze(POST, questions, options, "id")
    (answer,) = analysis.answers
    assert answer.explanation is not None
    quotes = [piece.quote for piece in answer.explanation.evidence]
    assert quotes == ["me at work@firm.example and", "I could not sleep"]
    for piece in answer.explanation.evidence:
        assert POST[piece.start : piece.end] == piece.quote
    events = [event async for event in redacting.stream(POST, questions, options, "id")]
    assert isinstance(events[-1], Completed)
    assert events[-1].analysis.answers == analysis.answers


async def test_the_model_never_sees_what_was_taken_out() -> None:
    redacting, engine = analyzer(" Because.")
    options = Options(explain=Explain.ALWAYS)
    await redacting.analyze(POST, (QUESTIONS["stress"],), options, "id")
    left = dict(engine.prompts)
    other = POST.replace("@owl", "@another.bird").replace("work@firm", "me@elsewhere")
    await redacting.analyze(other, (QUESTIONS["stress"],), options, "id")
    assert engine.prompts == left


async def test_cuts_are_of_the_post_as_it_was_sent() -> None:
    redacting, _ = analyzer(" Because.")
    text = "@owl " + "I could not sleep. " * 400 + "https://example.org/a/b"
    options = Options(explain=Explain.NEVER, truncation=Truncation.TAIL)
    analysis = await redacting.analyze(text, (QUESTIONS["stress"],), options, "id")
    (cut,) = analysis.cuts
    assert cut.start == 0
    assert 4 < cut.end < len(text)
    options = Options(explain=Explain.NEVER, truncation=Truncation.HEAD)
    (cut,) = (await redacting.analyze(text, (QUESTIONS["stress"],), options, "id")).cuts
    assert cut.end == len(text)
