"""The same run on a Ray cluster: Ray Data's actors answer, one engine each; this process keeps.

A part of the input is one row of a Ray dataset. Actors analyse parts in whatever order, are started
again where they die, and what they were at is given to another; only this process writes, by the
part's number, so that nothing is lost and nothing comes twice, and the result does not depend on
who did what. Actors are sent the texts and nothing that stands beside them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from typing import Any

from imhi.tasks import Question
from service.bulk.answering import Answer, planned
from service.bulk.parts import PART_ROWS
from service.bulk.pipeline import failed_row, keep
from service.bulk.records import Outcome
from service.bulk.run import Prepared
from service.bulk.sources import Row
from service.bulk.tally import Tally
from service.errors import EngineError, InvalidRequestError, ServiceError

OPENS = "service.bulk.answering:in_process"
"""What an actor answers with; `module:function`, since it is looked up on the actor's machine."""

_PARTS_AT_A_TIME = 2  # of an actor, so that its engine has work while a part comes to its end


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster.

    Attributes:
        address: of a running one; None starts one on this machine.
        engines: how many actors; None takes one a GPU or, without any, one a machine.
    """

    address: str | None = None
    engines: int | None = None


class Actor:
    """One engine; called with a part at a time, from several threads.

    Args:
        opens: what opens it, as `module:function`.
        model: a name that `service.models.resolve_model` takes, on the actor's machine.
        request: fields of `POST /analyze` but the text.
    """

    def __init__(self, opens: str, model: str, request: Mapping[str, Any]) -> None:
        from service.cli.in_process import checked

        module, _, name = opens.partition(":")
        body = checked({**request, "text": "."})
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._stack = AsyncExitStack()
        self._answer: Answer | None = None
        self._failure = b""
        try:
            open_one = getattr(import_module(module), name)
            opened = open_one(model, body, planned(model, body), _nobody)
            self._answer = self._run(self._stack.enter_async_context(opened))
        except Exception as error:  # noqa: BLE001 - it is said where a person sees it
            self._failure = _carried(error)

    def __call__(self, part: dict[str, Any]) -> dict[str, Any]:
        """Answer on the texts of a part; in place of a text that is none, nothing.

        What fails is no exception, of which Ray would write a traceback, but a `failure`.
        """
        outcomes: list[Outcome | None] = []
        failure = self._failure
        if self._answer is not None:
            try:
                outcomes = self._run(self._all(self._answer, json.loads(part["texts"])))
            except Exception as error:  # noqa: BLE001 - as above
                failure = _carried(error)
        return {"number": part["number"], "outcomes": json.dumps(outcomes), "failure": failure}

    async def _all(self, answer: Answer, texts: Sequence[str | None]) -> list[Outcome | None]:
        async def one(text: str | None) -> Outcome | None:
            return None if text is None else await answer(text)

        return await asyncio.gather(*map(one, texts))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def spread(
    prepared: Prepared,
    questions: Sequence[Question],
    told: Callable[[Tally], None],
    model: str,
    request: Mapping[str, Any],
    cluster: Cluster,
) -> None:
    """Analyse every row whose part is not kept yet.

    Args:
        prepared: the run.
        questions: what is asked.
        told: told of every part that is kept.
        model: a name that `service.models.resolve_model` takes.
        request: fields of `POST /analyze` but the text.
        cluster: where.

    Raises:
        InvalidRequestError: Ray is not installed, or the cluster cannot be reached.
        EngineError: an engine on the cluster cannot be started or failed.
        ServiceError: what an engine said; whatever was kept stays.
    """
    if find_spec("ray") is None:
        raise InvalidRequestError(
            "--ray needs Ray: pip install 'mentalllama[ray]', or in a clone make setup ARGS=ray."
        )
    with _joined(cluster.address):
        from ray.exceptions import RayError

        try:
            _spread(prepared, questions, told, model, request, cluster.engines)
        except RayError as error:
            raise _failed(error) from None


def _spread(
    prepared: Prepared,
    questions: Sequence[Question],
    told: Callable[[Tally], None],
    model: str,
    request: Mapping[str, Any],
    engines: int | None,
) -> None:
    import pyarrow as pa
    import ray

    cluster: Any = ray
    records = prepared.records(questions)
    count, needs = _engines(engines)
    missing = prepared.missing
    # The texts lie in Ray's object store, which goes to disk where it is large: nothing here grows
    # with the number of rows but one reference a part.
    blocks = [
        cluster.put(
            pa.table({"number": [number], "texts": [json.dumps([row.text for row in rows])]})
        )
        for number, rows in _parts(prepared, missing)
    ]
    data = cluster.data.from_arrow_refs(blocks).map(
        Actor,
        fn_constructor_args=(OPENS, model, dict(request)),
        compute=cluster.data.ActorPoolStrategy(
            size=min(count, len(blocks)),
            max_concurrent_calls_per_actor=_PARTS_AT_A_TIME,
            enable_true_multi_threading=True,
        ),
        **needs,
    )
    # Read once more, as far as parts have come: those between the first that is missing and the
    # last that is there.
    coming, waiting = _parts(prepared, missing), dict[int, list[Row]]()
    for done in data.iter_rows():
        if done["failure"]:
            raise pickle.loads(done["failure"])
        number = int(done["number"])
        if prepared.parts.done(number):  # what is done again after a death may come again
            continue
        while number not in waiting:
            waiting.update([next(coming)])
        rows = waiting.pop(number)
        told(
            keep(
                prepared.parts,
                records,
                number,
                rows,
                _whole(rows, json.loads(done["outcomes"])),
            )
        )


def _parts(prepared: Prepared, missing: frozenset[int]) -> Iterator[tuple[int, list[Row]]]:
    """Parts that are missing: number and rows."""
    rows = prepared.survey.all_rows()
    number = 0
    while part := list(islice(rows, PART_ROWS)):
        if number in missing:
            yield number, part
        number += 1


def _whole(rows: Sequence[Row], outcomes: Sequence[Outcome | None]) -> list[Outcome]:
    """The outcomes of all rows of a part, those without a text included."""
    pairs = zip(rows, outcomes, strict=True)
    return [failed_row(row) if outcome is None else outcome for row, outcome in pairs]


def _engines(said: int | None) -> tuple[int, dict[str, float]]:
    """How many actors, and what of a machine each takes: a GPU, or all of its processors."""
    import ray

    cluster: Any = ray
    resources = cluster.cluster_resources()
    if gpus := int(resources.get("GPU", 0)):
        return said or gpus, {"num_gpus": 1}
    cpus = [int(node["Resources"].get("CPU", 0)) for node in cluster.nodes() if node["Alive"]]
    machines = [one for one in cpus if one]
    if not machines:
        raise InvalidRequestError("The Ray cluster has neither GPUs nor processors to give.")
    share = -(-(said or 1) // len(machines)) if said else 1
    return said or len(machines), {"num_cpus": max(1, min(machines) // share)}


@contextmanager
def _joined(address: str | None) -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else it writes between our lines
    import ray

    try:
        if not ray.is_initialized():
            # What a worker prints stays in its machine's files.
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InvalidRequestError(
            f"Ray could not be reached or started ({type(error).__name__}): is --ray-address right?"
        ) from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def _carried(error: Exception) -> bytes:
    """What went wrong in an actor; the message of what nobody foresaw may hold a post."""
    return pickle.dumps(error if isinstance(error, ServiceError) else _failed(error))


def _failed(error: Exception) -> EngineError:
    return EngineError(
        f"An engine on the Ray cluster failed ({type(error).__name__}). Its logs are on that "
        "machine. What is done is kept: the same command goes on from there."
    )


def _nobody(_: str) -> None:
    """An actor has nobody to tell."""
