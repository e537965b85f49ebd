"""The chat that a teacher gets for a row.

system      the expert's instruction, the answers that there are, the form of the response
user        an example's post and question, and the answer that is given     (for each example)
assistant   its answer sentence and explanation
user        the row's post and question, and the answer that is given

The paper gave its teacher the annotated label too ("with label"): it explains best so. Without the
label the same chat asks for it, which measures how often teacher and annotators agree, and is how
a rival is asked.
"""

from __future__ import annotations

from typing import Any

from imhi.tasks import Label, Question
from imhi.wording import REASONING, render_answer, render_query
from training.build.recipe import TeacherRecipe
from training.build.templates import Template
from training.data.example import Example, Span

_FORM = (
    "Respond with one of these answer sentences, word for word, then a space, then "
    f'"{REASONING.strip()}", then the explanation:'
)
_GIVEN = "The annotators' answer is: {answer}\nRepeat it and explain it."
_MARKED = "The annotators marked these words of the post: {marks}"


def request(
    row: Example, template: Template, settings: TeacherRecipe, seed: int, *, with_label: bool
) -> dict[str, Any]:
    """The body of a chat completions request for a row.

    Args:
        row: whose post and question are asked.
        template: of its question.
        settings: of the endpoint.
        seed: of the examples that are drawn.
        with_label: the annotated label is given, and what annotators marked.

    Raises:
        RecipeError: the template has not enough examples.
    """
    question = row.question
    answers = "\n".join(f"- {label.answer}" for label in question.labels)
    messages = [_message("system", f"{template.instruction}\n\n{_FORM}\n{answers}")]
    for example in template.drawn(question, settings.few_shot, seed, row.id):
        label = question.label(example.label)
        asked = _asked(example.post, question, label if with_label else None)
        messages.append(_message("user", asked))
        messages.append(_message("assistant", render_answer(label, example.explanation)))
    asked = _asked(row.post, question, row.label if with_label else None)
    if with_label and row.evidence:
        asked += "\n" + _MARKED.format(marks=_marks(row.post, row.evidence))
    messages.append(_message("user", asked))
    return {
        "model": settings.model,
        "messages": messages,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
    }


def _asked(post: str, question: Question, label: Label | None) -> str:
    query = render_query(post, question)
    return query if label is None else f"{query}\n{_GIVEN.format(answer=label.answer)}"


def _marks(post: str, spans: tuple[Span, ...]) -> str:
    return ", ".join(f'"{post[span.start : span.end]}"' for span in spans)


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
