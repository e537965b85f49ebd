"""Any OpenAI-compatible endpoint, zero-shot or with expert examples: ChatGPT, a plain vLLM, ours.

Free-form as in the paper: the model answers the query in its own words and the label is read from
the text by `imhi.parsing`. Label reads: the likelihood of every answer sentence after the prompt is
taken from the completions route (`echo` with `logprobs`), where the endpoint has one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imhi.parsing import parse_response
from imhi.wording import ANSWER_SEPARATOR, render_answer, render_query
from training.baseline.answers import Answers, Progress, to_read
from training.baseline.recipe import BaselineRecipe, Way
from training.build.cache import Answer, open_cache, request_key
from training.build.prompts import request
from training.build.recipe import TeacherRecipe
from training.build.teacher import REFUSED, ask_all, chat
from training.build.templates import Template, load_templates
from training.data.example import Example
from training.errors import DataError, ModelFilesError
from training.evaluate.records import FreeForm, Read


def answer(
    recipe: BaselineRecipe, rows: Sequence[Example], cache: Path, progress: Progress
) -> Answers:
    """Ask the endpoint about `rows`; what `cache` holds is not asked again.

    Raises:
        TeacherError: the endpoint cannot be used.
        RecipeError: a template cannot be used.
    """
    settings = recipe.endpoint
    if settings is None:
        raise DataError("The recipe names no endpoint.")
    templates = load_templates(recipe.templates)

    def tell(done: int, total: int, prompt: int, completion: int) -> None:
        del prompt, completion
        progress("Answers", done, total)

    with open_cache(cache) as answers:
        if recipe.way is Way.FREE_FORM:
            bodies = {
                row.id: request(
                    row, templates[row.question.id], settings, recipe.seed, with_label=False
                )
                for row in rows
            }
            asyncio.run(ask_all(list(bodies.values()), settings, answers, tell, chat))
            return {row.id: _written(answers.get(request_key(bodies[row.id])), row) for row in rows}
        scored = {
            (row.id, label.id): _body(row, label.answer, templates, settings, recipe.seed)
            for row in rows
            for label in row.question.labels
        }
        asyncio.run(ask_all(list(scored.values()), settings, answers, tell, _score))
        return {
            row.id: _read(
                row,
                [answers.get(request_key(scored[row.id, one.id])) for one in row.question.labels],
            )
            for row in rows
        }


def _written(answer: Answer | None, row: Example) -> FreeForm:
    if answer is None or answer.finish_reason in (REFUSED, "content_filter"):
        return FreeForm("", "error", 0, None, None, "refused")
    read = parse_response(answer.text, row.question)
    return FreeForm(
        text=answer.text,
        finish_reason="length" if answer.finish_reason == "length" else "stop",
        tokens=answer.completion_tokens,
        label=read.label.id if read.label else None,
        explanation=read.explanation if read.label else None,
        problem=read.problem.value if read.problem else None,
    )


def _body(
    row: Example,
    sentence: str,
    templates: Any,
    settings: TeacherRecipe,
    seed: int,
) -> dict[str, Any]:
    """A completions request that scores one answer sentence after the prompt."""
    template: Template = templates[row.question.id]
    shots = "".join(
        render_query(one.post, row.question)
        + ANSWER_SEPARATOR
        + render_answer(row.question.label(one.label), one.explanation)
        + "\n\n"
        for one in template.drawn(row.question, settings.few_shot, seed, row.id)
    )
    prompt = shots + render_query(row.post, row.question)
    return {
        "model": settings.model,
        "prompt": prompt + ANSWER_SEPARATOR + sentence,
        "max_tokens": 1,
        "temperature": 0.0,
        "echo": True,
        "logprobs": 0,
        "answer_from": len(prompt),  # taken out before it is sent
    }


async def _score(client: Any, body: dict[str, Any]) -> Answer:
    """Send a request of `_body`; the answer's text is the sentence's log-likelihood."""
    start = body["answer_from"]
    sent = {name: value for name, value in body.items() if name != "answer_from"}
    completion = await client.completions.create(**sent)
    choice = completion.choices[0]
    told = choice.logprobs
    if told is None or not told.text_offset or not told.token_logprobs:
        raise ModelFilesError(
            "The endpoint gives no log-probabilities of the prompt (`echo` with `logprobs`): ask "
            "it in free form, with `way: free_form`."
        )
    end = len(sent["prompt"])
    total = math.fsum(
        value
        for value, offset in zip(told.token_logprobs, told.text_offset, strict=True)
        if value is not None and start <= offset < end
    )
    usage = completion.usage
    return Answer(repr(total), "stop", usage.prompt_tokens if usage else 0, 0)


def _read(row: Example, answers: Sequence[Answer | None]) -> Read:
    scores = [float(one.text) if one and one.text else -math.inf for one in answers]
    top = max(scores)
    shares = [math.exp(score - top) if top > -math.inf else 1.0 for score in scores]
    labels = [label.id for label in row.question.labels]
    return to_read(row.question, dict(zip(labels, shares, strict=True)))
