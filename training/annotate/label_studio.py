"""Items for Label Studio: its labeling configuration, tasks to import, and exports read back.

By its JSON formats (labelstud.io/guide/task_format, /guide/export), without its SDK. Tasks are made
one file an annotator, since the free edition assigns none: each imports into a project of their
own, and the task says whose it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from training.annotate.items import Item
from training.annotate.ratings import Rating
from training.annotate.rubric import NOTICE, SCALE, Rubric
from training.errors import DataError


def configuration(rubric: Rubric) -> str:
    """The labeling interface: the texts, and one required choice of a number a criterion."""
    lines = [
        "<View>",
        f"  <Header value={quoteattr(NOTICE)} size='6'/>",
        "  <Header value='Post' size='4'/>",
        "  <Text name='post' value='$post' granularity='word'/>",
        "  <Header value='$question' size='4'/>",
        "  <Text name='label' value='$label'/>",
        "  <Header value='Explanation' size='4'/>",
        "  <Text name='explanation' value='$explanation' granularity='word'/>",
    ]
    for criterion in rubric.criteria:
        title = f"{criterion.title}: {criterion.question}"
        lines += [
            f"  <Header value={quoteattr(title)} size='5'/>",
            f"  <Choices name={quoteattr(criterion.id)} toName='explanation' choice='single' "
            "required='true' showInline='false'>",
            *(
                f"    <Choice value='{value}' hint={quoteattr(level)} "
                f"html={quoteattr(f'{value}: {level}')}/>"
                for value, level in zip(SCALE, criterion.levels, strict=True)
            ),
            "  </Choices>",
        ]
    lines += [
        "  <TextArea name='comment' toName='explanation' placeholder='Comment (optional)'/>",
        "</View>",
    ]
    return "\n".join(lines) + "\n"


def tasks(items: Sequence[Item], annotator: str) -> str:
    """The tasks of one annotator, to import, in their order."""
    listed = [
        {
            "data": {
                "item": item.id,
                "annotator": annotator,
                "post": item.post,
                "question": item.question,
                "label": item.label,
                "explanation": item.explanation,
            }
        }
        for item in items
    ]
    return json.dumps(listed, ensure_ascii=False, indent=1) + "\n"


def read_export(path: Path, rubric: Rubric) -> tuple[Rating, ...]:
    """Read an export in Label Studio's JSON format; what was skipped or cancelled is not rated.

    Of several annotations of one task the last counts.

    Raises:
        DataError: it is no such export. The message holds nothing of a task.
    """
    try:
        exported = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON ({type(error).__name__}).") from None
    if not isinstance(exported, list):
        raise DataError(f"{path} is no export of Label Studio: choose its JSON format.")
    ratings: list[Rating] = []
    for number, task in enumerate(exported, 1):
        data = task.get("data") if isinstance(task, dict) else None
        if not isinstance(data, dict) or not {"item", "annotator"} <= data.keys():
            raise DataError(f"Task {number} of {path} is none of ours: it has no item.")
        ratings += _ratings(task, data, rubric, f"Task {number} of {path}")
    return tuple(ratings)


def _ratings(
    task: dict[str, Any], data: dict[str, Any], rubric: Rubric, where: str
) -> Iterator[Rating]:
    if "annotations" not in task:
        raise DataError(f"{where} has no annotations: choose Label Studio's JSON format, not MIN.")
    criteria = {criterion.id for criterion in rubric.criteria}
    for annotation in task["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        for result in annotation.get("result", ()):
            name = result.get("from_name")
            if name not in criteria:
                continue
            choices = result.get("value", {}).get("choices", [])
            if len(choices) != 1 or choices[0] not in map(str, SCALE):
                raise DataError(f"{where}: {name} is no number from {SCALE[0]} to {SCALE[-1]}.")
            yield Rating(str(data["item"]), str(data["annotator"]), name, int(choices[0]))
