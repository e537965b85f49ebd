from __future__ import annotations

from imhi.tasks import TASKS, WORDING_VERSION
from tests.service.api.fakes import FakeAnalyzer, client_of, make_app


async def test_every_task_question_and_label():
    async with client_of(make_app(FakeAnalyzer())) as client:
        body = (await client.get("/tasks")).json()
    assert body["model"] == "fake-model"
    assert body["wording_version"] == WORDING_VERSION
    assert [task["id"] for task in body["tasks"]] == list(TASKS)
    for entry, task in zip(body["tasks"], TASKS.values(), strict=True):
        assert (entry["title"], entry["description"]) == (task.title, task.description)
        for got, question in zip(entry["questions"], task.questions, strict=True):
            assert (got["id"], got["text"]) == (question.id, question.text)
            assert got["labels"] == [
                {
                    "id": label.id,
                    "name": label.name,
                    "answer": label.answer,
                    "urgent": label.urgent,
                    "negative": label.id == question.negative,
                }
                for label in question.labels
            ]


async def test_urgent_and_negative_labels_are_marked():
    async with client_of(make_app(FakeAnalyzer())) as client:
        tasks = (await client.get("/tasks")).json()["tasks"]
    labels = [label for t in tasks for q in t["questions"] for label in q["labels"]]
    assert {label["id"] for label in labels if label["urgent"]} == {
        "suicide",
        "suicide_or_self_harm",
    }
    assert {label["id"] for label in labels if label["negative"]} == {"no", "none"}


async def test_there_is_no_model_before_the_start():
    async with client_of(make_app()) as client:
        assert (await client.get("/tasks")).json()["model"] is None
