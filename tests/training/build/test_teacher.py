"""Asking an endpoint that misbehaves: nothing is lost, nothing is asked twice, nothing leaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from time import monotonic, time
from typing import Any

import pytest

from tests.training.build.teachers import Act, Body, Served, endpoint
from training.build.cache import CACHE_FILE, Answer, open_cache, request_key
from training.build.recipe import TeacherRecipe
from training.build.teacher import REFUSED, Usage, ask_all
from training.errors import RecipeError, TeacherError

SECRET = "a post that nobody else may read"


def body(number: int) -> Body:
    messages = [{"role": "user", "content": f"{SECRET} {number}"}]
    return {"model": "m", "messages": messages, "max_tokens": 5}


def number_of(asked: Body) -> int:
    return int(asked["messages"][0]["content"].rsplit(" ", 1)[1])


def settings(served: Served, **fields: Any) -> TeacherRecipe:
    usual: dict[str, Any] = {"base_url": served.url, "model": "m", "backoff": 0.01}
    return TeacherRecipe(**(usual | fields))


def ask(
    folder: Path, wanted: list[Body], recipe: TeacherRecipe
) -> tuple[Usage, list[Answer | None]]:
    with open_cache(folder / CACHE_FILE) as cache:
        usage = asyncio.run(ask_all(wanted, recipe, cache, lambda *_: None))
        return usage, [cache.get(request_key(one)) for one in wanted]


def good(asked: Body) -> Act:
    return Act(text=f"answer {number_of(asked)}")


def once(misbehaviour: Act) -> Callable[[int, Body], Act]:
    """Misbehaves at the first request for each body that ends in an even number."""
    seen: set[int] = set()

    def act(number: int, asked: Body) -> Act:
        del number
        own = number_of(asked)
        if own % 2 == 0 and own not in seen:
            seen.add(own)
            return misbehaviour
        return good(asked)

    return act


@pytest.mark.parametrize(
    ("misbehaviour", "reason"),
    [
        (Act(status=429), "status 429"),
        (Act(status=500), "status 500"),
        (Act(status=503, headers={"retry-after": "0"}), "status 503"),
        (Act(raw=b'{"id": "x", "choices": [{"ind'), "a broken answer"),
        (Act(raw=b'{"id": "x"'), "a broken answer"),
        (Act(raw=b'{"id": "x", "choices"', promised=4000), "no connection"),
        (Act(raw=b'{"id": "x", "object": "chat.completion", "choices": []}'), "a broken answer"),
        (Act(text="late", seconds=20), "it hung"),
    ],
    ids=["429", "500", "503", "half", "half-short", "cut", "empty", "hang"],
)
def test_what_passes_is_asked_again(tmp_path: Path, misbehaviour: Act, reason: str) -> None:
    wanted = [body(number) for number in range(6)]
    with endpoint(once(misbehaviour)) as served:
        timeout = 3 if misbehaviour.seconds else 60
        usage, answers = ask(tmp_path, wanted, settings(served, timeout=timeout))
    assert [one.text if one else None for one in answers] == [f"answer {n}" for n in range(6)]
    assert usage.retries[reason] == 3
    assert (usage.sent, usage.cached) == (6, 0)
    assert len(served.bodies) == 9


def test_all_wait_for_the_time_that_one_is_told(tmp_path: Path) -> None:
    def act(number: int, asked: Body) -> Act:
        if number == 0:
            return Act(status=429, headers={"retry-after": "0.6"})
        return good(asked)

    with endpoint(act) as served:
        ask(tmp_path, [body(number) for number in range(4)], settings(served, concurrency=1))
    assert len(served.bodies) == 5
    assert served.times[1] - served.times[0] >= 0.55


def test_a_date_is_a_time_too(tmp_path: Path) -> None:
    def act(number: int, asked: Body) -> Act:
        if number == 0:
            date = formatdate(time() + 2, usegmt=True)
            return Act(status=503, headers={"retry-after": date})
        return good(asked)

    with endpoint(act) as served:
        ask(tmp_path, [body(0)], settings(served))
    assert served.times[1] - served.times[0] >= 0.9  # dates have no fractions of a second


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (Act(status=400), REFUSED),
        (Act(status=422), REFUSED),
        (Act(refusal="I will not."), REFUSED),
        (Act(finish_reason="content_filter"), "content_filter"),
        (Act(text="It is cut", finish_reason="length"), "length"),
    ],
)
def test_what_will_not_change_is_kept_as_it_is(tmp_path: Path, act: Act, reason: str) -> None:
    with endpoint(lambda number, asked: act) as served:
        _, [answer] = ask(tmp_path, [body(0)], settings(served))
        assert answer is not None
        assert answer.finish_reason == reason
        usage, _ = ask(tmp_path, [body(0)], settings(served))
    assert (usage.sent, usage.cached) == (0, 1)
    assert len(served.bodies) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_expires_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("TEACHER_KEY", "old")
    wanted = [body(number) for number in range(9)]
    expired = True

    def act(number: int, asked: Body) -> Act:
        return Act(status=status) if expired and number >= 4 else good(asked)

    with endpoint(act) as served:
        recipe = settings(served, concurrency=1, api_key_env="TEACHER_KEY")
        with pytest.raises(TeacherError, match=f"refuses the key .status {status}") as caught:
            ask(tmp_path, wanted, recipe)
        assert "TEACHER_KEY" in caught.value.message
        assert SECRET not in caught.value.message
        assert len(served.bodies) == 5
        expired = False
        monkeypatch.setenv("TEACHER_KEY", "new")
        usage, answers = ask(tmp_path, wanted, recipe)
    assert (usage.sent, usage.cached) == (5, 4)
    assert [one.text if one else None for one in answers] == [f"answer {n}" for n in range(9)]
    assert served.keys == ["Bearer old"] * 5 + ["Bearer new"] * 5


def test_a_key_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    with endpoint(lambda number, asked: good(asked)) as served:
        recipe = settings(served, api_key_env="TEACHER_KEY")
        with pytest.raises(RecipeError, match="TEACHER_KEY"):
            ask(tmp_path, [body(0)], recipe)
    assert served.bodies == []


def test_a_model_that_is_not_known(tmp_path: Path) -> None:
    with (
        endpoint(lambda number, asked: Act(status=404)) as served,
        pytest.raises(TeacherError, match="knows no model 'm'"),
    ):
        ask(tmp_path, [body(0)], settings(served))


def test_what_is_never_answered_is_left_for_the_next_run(tmp_path: Path) -> None:
    wanted = [body(number) for number in range(5)]
    down = True

    def act(number: int, asked: Body) -> Act:
        del number
        return Act(status=500) if down and number_of(asked) == 2 else good(asked)

    with endpoint(act) as served:
        with pytest.raises(TeacherError, match="1 requests") as caught:
            ask(tmp_path, wanted, settings(served, attempts=3))
        assert "status 500 (1)" in caught.value.message
        assert SECRET not in caught.value.message
        assert sum(number_of(one) == 2 for one in served.bodies) == 3
        down = False
        usage, answers = ask(tmp_path, wanted, settings(served))
    assert (usage.sent, usage.cached) == (1, 4)
    assert all(answers)


def test_an_endpoint_that_is_down_ends_the_run_soon(tmp_path: Path) -> None:
    with endpoint(lambda number, asked: Act(status=502)) as served:
        recipe = settings(served, attempts=2, concurrency=2)
        with pytest.raises(TeacherError, match=r"status 502 \(8\)"):
            ask(tmp_path, [body(number) for number in range(100)], recipe)
    assert len(served.bodies) < 25


def test_equal_requests_are_sent_once(tmp_path: Path) -> None:
    with endpoint(lambda number, asked: good(asked)) as served:
        _, answers = ask(tmp_path, [body(1), body(1)], settings(served))
    assert len(served.bodies) == 1
    assert all(answers)


def test_no_more_are_open_than_asked_for(tmp_path: Path) -> None:
    with endpoint(lambda number, asked: Act(text="x", seconds=0.02)) as served:
        ask(tmp_path, [body(number) for number in range(30)], settings(served, concurrency=3))
    assert 2 <= served.most <= 3


@pytest.mark.parametrize(
    "limit", [{"requests_per_minute": 600}, {"tokens_per_minute": 600 * 14}], ids=["requests", "t"]
)
def test_a_limit_a_minute_is_kept_from_the_start(tmp_path: Path, limit: dict[str, int]) -> None:
    wanted = [body(number) for number in range(10, 17)]  # 9 prompt tokens and 5 of completion
    with endpoint(lambda number, asked: good(asked)) as served:
        began = monotonic()
        ask(tmp_path, wanted, settings(served, concurrency=7, **limit))
    # The first passes at once, the six others 0.1 s apart.
    assert served.times[-1] - began >= 0.5
