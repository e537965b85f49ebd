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
            assert (got["asked_by_default"], got["trained_rows"], got["note"]) == (True, None, None)


async def test_a_wording_without_training_rows_is_marked():
    trained = {"mental_disorder.tsid": 3071, "depression": 1003, "stress": 0}
    async with client_of(make_app(FakeAnalyzer(trained=trained))) as client:
        tasks = (await client.get("/tasks")).json()["tasks"]
    found = {
        question["id"]: (question["asked_by_default"], question["trained_rows"], question["note"])
        for task in tasks
        for question in task["questions"]
    }
    assert found["mental_disorder.tsid"] == (True, 3071, None)
    asked, rows, note = found["mental_disorder.swmh"]
    assert (asked, rows) == (False, 0)
    assert "no rows" in note
    assert "through mental_disorder.tsid" in note
    assert found["depression"] == (True, 1003, None)
    asked, rows, note = found["stress"]
    assert (asked, rows) == (True, 0)
    assert note == "The model was trained on no rows with this question."


async def test_there_is_no_model_before_the_start():
    async with client_of(make_app()) as client:
        assert (await client.get("/tasks")).json()["model"] is None
