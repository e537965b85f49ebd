"""Records of runs, items and ratings made up for the tests of annotation."""

from __future__ import annotations

from training.annotate.items import Item, Key, Origin
from training.annotate.ratings import Rating
from training.evaluate.records import Explained, FreeForm, Record

POSTS = 6


def record(
    number: int, set_id: str = "dreaddit", *, text: str | None = "The post says so."
) -> Record:
    question = {"dreaddit": "stress", "DR": "depression"}[set_id]
    return Record(
        id=f"{set_id}.csv:{number}:{question}",
        set=set_id,
        split="val",
        question=question,
        post=f"Made-up post {number} of {set_id}: I could not sleep.",
        post_key=f"{set_id}{number:014d}",
        reference="yes",
        annotation=None,
        reference_explanation=None,
        seen=False,
        read=None,
        explained=None if text is None else Explained("yes", text, "stop", 5, 0.9),
        free_form=FreeForm("Yes. Reasoning: free.", "stop", 5, "yes", "A free explanation.", None),
        error=None,
        cut=0,
    )


def records(system: str) -> list[Record]:
    return [
        record(number, set_id, text=f"{system} explains {number} of {set_id}.")
        for set_id in ("dreaddit", "DR")
        for number in range(POSTS)
    ]


def items(systems: tuple[str, ...] = ("a", "b"), samples: int = 10) -> dict[str, Item]:
    return {
        f"item-{system}-{number}": Item(
            f"item-{system}-{number}",
            f"Made-up post {number}.",
            "Does the poster suffer from stress?",
            "Yes, the poster suffers from stress.",
            " ".join(["word"] * (number + 1 + 20 * (system == "b"))),
        )
        for system in systems
        for number in range(samples)
    }


def key_of(made: dict[str, Item], annotators: tuple[str, ...] = ("ana", "ben")) -> Key:
    origins = {
        name: Origin(system=name.split("-")[1], set="dreaddit", sample=name.split("-")[2])
        for name in made
    }
    return Key(rubric="imhi", annotators=annotators, overlap=2, seed=0, origins=origins)


def ratings(made: dict[str, Item], values: dict[str, list[int]]) -> list[Rating]:
    """`values`: annotator to a number an item, in the order of the items; for every criterion."""
    return [
        Rating(item, annotator, criterion, value)
        for annotator, numbers in values.items()
        for item, value in zip(made, numbers, strict=True)
        for criterion in ("consistency", "reliability", "professionality", "overall")
    ]
