"""A whole response from the query alone, as the paper measured its models (arXiv 2309.13567).

The query is put in the model's own prompt style, the response decoded greedily, and its label read
from the text by `imhi.parsing`, which does not guess: a response without a label, or with several,
has none and says why.
"""

from __future__ import annotations

from imhi.parsing import parse_response
from service.analysis.analyzer import Analyzer
from service.analysis.types import Explain
from training.data.example import Example
from training.evaluate.answers import UNASKABLE, Decoding
from training.evaluate.journal import Outcome, Way
from training.evaluate.records import FreeForm


async def respond(
    analyzer: Analyzer, example: Example, decoding: Decoding, request_id: str
) -> Outcome:
    """Have the model write its response to one example's query, and read the label in it.

    Raises:
        EngineError, OverloadedError: from the engine.
    """
    try:
        response = await analyzer.respond(
            example.post,
            example.question,
            decoding.options(Explain.ALWAYS, decoding.response_tokens),
            request_id,
        )
    except UNASKABLE as error:
        return Outcome(example.id, Way.FREE_FORM, None, error.code)
    parsed = parse_response(response.text, example.question)
    answer = FreeForm(
        text=response.text,
        finish_reason=response.finish_reason,
        tokens=response.tokens,
        label=parsed.label.id if parsed.label else None,
        explanation=parsed.explanation or None,
        problem=parsed.problem.value if parsed.problem else None,
    )
    cut = sum(one.end - one.start for one in response.cuts)
    return Outcome(example.id, Way.FREE_FORM, answer, cut=cut)
