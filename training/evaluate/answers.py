"""A post's questions, read and explained exactly as the service does it.

All questions on one post are asked together: they share its tokens in the engine's prefix cache.
The `Analyzer` takes them the service's way; what it says of each becomes an `Outcome`. A post that
cannot be asked (too long for the model, say) becomes outcomes with the error's code, as a caller of
the service would get it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.analysis.analyzer import Analyzer
from service.analysis.types import Answer, Explain, Options, Truncation
from service.errors import EmptyTextError, InvalidRequestError, TextTooLongError
from training.data.example import Example
from training.evaluate.journal import Outcome, Way
from training.evaluate.records import Explained, Read

UNASKABLE = (EmptyTextError, InvalidRequestError, TextTooLongError)
"""What is the post's own doing, and would be the same whenever it is asked."""

_SERVED = Options()


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a model is asked. The defaults are the service's own.

    Attributes:
        truncation: what to do with a post that does not fit the model's context.
        explanation_tokens: most tokens of an explanation.
        response_tokens: most tokens of a free-form response.
        consistency: whether each explanation is read alone, to see whether it supports the label.
        adapter: name of a LoRA adapter that the engine serves, or None.
    """

    truncation: Truncation = _SERVED.truncation
    explanation_tokens: int = _SERVED.explanation_tokens
    response_tokens: int = 320
    consistency: bool = _SERVED.consistency
    adapter: str | None = None

    def options(self, explain: Explain, tokens: int | None = None) -> Options:
        """The same as the analysis takes it; `tokens` in the place of `explanation_tokens`."""
        return Options(
            explain=explain,
            explanation_tokens=tokens or self.explanation_tokens,
            consistency=self.consistency,
            truncation=self.truncation,
            adapter=self.adapter,
        )


async def ask(
    analyzer: Analyzer, examples: Sequence[Example], way: Way, decoding: Decoding, request_id: str
) -> list[Outcome]:
    """Read the labels of one post's questions, or have the decided ones explained.

    Args:
        analyzer: the model.
        examples: rows of one and the same post.
        way: `READ` or `EXPLAINED`.
        decoding: how the model is asked.
        request_id: unique in the process.

    Raises:
        EngineError, OverloadedError: from the engine.
    """
    explain = Explain.ALWAYS if way is Way.EXPLAINED else Explain.NEVER
    # Two sets may ask the same of a post.
    questions = tuple({example.question.id: example.question for example in examples}.values())
    try:
        analysis = await analyzer.analyze(
            examples[0].post, questions, decoding.options(explain), request_id
        )
    except UNASKABLE as error:
        return [Outcome(example.id, way, None, error.code) for example in examples]
    cut = sum(one.end - one.start for one in analysis.cuts)
    answers = {answer.question.id: answer for answer in analysis.answers}
    outcomes = []
    for example in examples:
        answer = answers[example.question.id]
        kept = _explained(answer) if way is Way.EXPLAINED else _read(answer)
        outcomes.append(Outcome(example.id, way, kept, cut=cut))
    return outcomes


def _read(answer: Answer) -> Read:
    distribution = answer.distribution
    return Read(
        dict(distribution.log_probabilities),
        dict(distribution.probabilities),
        distribution.label_mass,
    )


def _explained(answer: Answer) -> Explained | None:
    """None where the model's policy abstained: then there is nothing to explain."""
    explanation, label = answer.explanation, answer.decision.label
    if explanation is None or label is None:
        return None
    return Explained(
        label=label,
        text=explanation.text,
        finish_reason=explanation.finish_reason,
        tokens=explanation.tokens,
        consistency=explanation.consistency,
    )
