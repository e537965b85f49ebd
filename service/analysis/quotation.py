"""A grammar that keeps an explanation's quotes to what the post says, and it from clinical words.

A post goes in, a grammar for vLLM's structured outputs comes out, in llguidance's Lark dialect.
Between double quotation marks, each token must go on with words that stand next to each other in
the post: what is quoted is then there to be found, whatever the size of the model. Elsewhere the
model writes what it likes but words of clinical reports (`imhi.clinical`), which it has learned
from its references and which would read as a diagnosis; those that the post itself uses are free.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from imhi.clinical import STEMS, clinical_stems

BACKEND = "guidance"
"""vLLM's backend for structured outputs that knows these grammars. vLLM runs one per engine."""

_MARKS = re.compile('["“”„«»]')
_CHUNK = re.compile(r"\w+(?:'\w+)*|\s|[^\w\s]")
# A lexer never goes back: half of a curly mark could be half of another character, so that only the
# straight mark can open a quote. The others are kept out of the text.
_UNQUOTED = '/[^"“”„«»]+/'
_BEGINS_AND_ENDS = r"/(?s:[^\s].*)/ & /(?s:.*[^\s])/"  # with something visible
# A class of Unicode makes it take twice as long to make a grammar, so that it stands only where a
# post has letters beyond ASCII.
_LETTER, _ASCII_LETTER = r"\p{L}", "[A-Za-z]"


def understands(tokenizer: Any) -> bool:
    """Whether llguidance can follow a grammar in a tokenizer's tokens.

    It must know the bytes of each: those of byte-level and SentencePiece tokenizers it does, of
    others it may not. A request with a grammar would fail there.
    """
    try:
        from llguidance.hf import from_tokenizer

        from_tokenizer(tokenizer)
    except Exception:  # noqa: BLE001 - it says no in many ways, with errors of its own and others'
        return False
    return True


def quote_grammar(post: str) -> str:
    """Make the grammar of explanations that quote nothing but `post`.

    Args:
        post: the post as the model sees it.

    Returns:
        A grammar; without a letter between the post's own quotation marks, one without quotes.
        White space counts as one space and a curly apostrophe as a straight one, as
        `service.analysis.evidence` compares them.
    """
    text = f"TEXT: {_UNQUOTED}{_without(sorted(set(STEMS) - clinical_stems(post)))}"
    parts = [" ".join(part.split()).replace("\u2019", "'") for part in _MARKS.split(post)]
    quotable = [part for part in parts if any(map(str.isalpha, part))]
    if not quotable:
        return f"start: TEXT?\n{text}\n"
    # `substring_chunks` matches any run of its chunks: words, spaces, single marks.
    names = [f"PART_{number}" for number in range(len(quotable))]
    definitions = (
        f"{name}: %regex {json.dumps({'substring_chunks': _CHUNK.findall(part)})}"
        for name, part in zip(names, quotable, strict=True)
    )
    letter = _ASCII_LETTER if all(map(str.isascii, quotable)) else _LETTER
    return "\n".join(
        (
            "start: TEXT? (quote TEXT)* quote?",
            text,
            'quote: "\\"" WORDS "\\""',
            f"WORDS: ({' | '.join(names)}) & {_BEGINS_AND_ENDS} & /(?s:.*{letter}.*)/",
            *definitions,
            "",
        )
    )


def _without(stems: Sequence[str]) -> str:
    """What keeps a text from holding a word that begins with one of the stems, in any case."""
    if not stems:
        return ""
    # No lexer here looks behind: what stands before the word is part of the expression. By ASCII,
    # for the time that Unicode's classes take: a stem after another letter is kept out as well.
    return rf" & ~/(?is:(?:.*[^A-Za-z0-9_])?(?:{'|'.join(stems)}).*)/"
