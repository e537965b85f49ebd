"""Our own routes held against the OpenAPI document by Schemathesis, in a process of its own.

    python -m tests.service.api.conformance [--examples N] [--seed N] [ROUTE ...]

`docs/openapi.json`, with what it says in words made rules (`spoken`), goes to Schemathesis, which
makes requests of it, some that keep to it and some that do not. They pass the gate, the routes and
the Analyzer, on an engine that answers at once, and every answer is held against the document. What
fails comes out with the request that shows it, then how many requests were sent, by route, phase
and status. The same arguments send the same requests: the test of this module sends few, more
`--examples` and another `--seed` more.

In a process of its own, and with the plugin for pytest switched off, because Schemathesis empties
Hypothesis' printer wherever it is loaded: no other property test would say what it failed on.

Exit codes: 0 all answers keep to the document, 1 one does not.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import schemathesis
from fastapi import FastAPI
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

from imhi.tasks import QUESTIONS
from service.analysis.analyzer import Analyzer
from service.analysis.manifest import assumed_manifest
from service.api.examples import MODEL, TEXT
from service.api.openapi import DEFAULT_PATH
from service.settings import Settings
from tests.instant_engine import InstantEngine
from tests.service.api.fakes import make_app
from tests.tokenizers import byte_level_tokenizer

ROUTES = ("/analyze", "/v1/decisions", "/tasks", "/livez", "/readyz", "/health")
"""Ours; the document's other routes are vLLM's, and not on an app without it."""

EXAMPLES = 100
SEED = 20_260
STREAMED = 1000  # events of a stream that are looked at; none here has as many
SHOWN = 2000  # characters of a failure's message
ALIKE = 3  # failures of one check on one route that are shown

CHECKS: dict[str, Any] = {
    # A request may set a deadline that nothing meets. `no_server_error` takes that 5xx alone.
    "not_a_server_error": {"enabled": False},
    # It goes by the status. `valid_is_answered` goes by the error's code and field: some requests
    # keep to the document and are refused by design, for reasons that JSON Schema cannot tell.
    "positive_data_acceptance": {"enabled": False},
}
"""Checks of Schemathesis that one of this module's stands for; all others are on."""

DEADLINE = "X-MentalLLaMA-Deadline"
DEADLINES = {503: "deadline_unreachable", 504: "deadline_exceeded"}
"""What a request gets whose own deadline is too near; a healthy engine is no cause of another."""

FEWEST = 4  # characters; a shorter string stands in any message by chance

REFUSED: dict[str, Sequence[tuple[str, str]]] = {
    "/analyze": (
        ("empty_text", r"text"),
        ("text_too_long", r"text|texts\.\d+"),  # the model's tokens, the deployment's characters
        ("invalid_request", r"abstention_band"),  # its low end above its high end
    ),
    "/v1/decisions": (
        ("empty_text", r"input"),
        ("text_too_long", r"input"),
        ("invalid_request", r"questions\.\d+\.instructions"),  # blank
        ("invalid_request", r"questions\.\d+\.(choices|levels)\.\d+"),  # blank, or like another
        ("invalid_request", r"questions\.\d+"),  # what the model's tokens do not allow
        ("invalid_request", r"questions"),  # too many answers or characters together
    ),
}
"""Code and field of what is refused for reasons that JSON Schema has no words for."""


def spoken(document: dict[str, Any], settings: Settings, model: str) -> dict[str, Any]:
    """The document, with what its descriptions say in words as rules, for one deployment.

    Args:
        document: `docs/openapi.json`; it stays as it is.
        settings: the deployment's.
        model: the only one that it serves.
    """
    document = copy.deepcopy(document)
    schemas = document["components"]["schemas"]
    for name in ("AnalyzeRequest", "DecisionRequest"):
        schemas[name]["properties"]["model"] |= {"enum": [model, None]}
    properties = schemas["AnalyzeRequest"]["properties"]
    properties["texts"]["anyOf"][0]["maxItems"] = settings.max_texts
    properties["explanation_tokens"]["maximum"] = settings.max_explanation_tokens
    threshold = properties["thresholds"]["additionalProperties"]["additionalProperties"]
    properties["thresholds"] |= {
        "additionalProperties": False,
        "properties": {
            question.id: {
                "type": "object",
                "additionalProperties": False,
                "properties": {label.id: threshold for label in question.labels},
            }
            for question in QUESTIONS.values()
        },
    }
    # A string to OpenAPI 3.1, which cannot say more of a stream. 3.2 can, in these words.
    answer = document["paths"]["/analyze"]["post"]["responses"]["200"]["content"]
    answer["text/event-stream"] = {
        "itemSchema": {
            "oneOf": [
                _event("label", "LabelEvent"),
                _event("explanation", "ExplanationEvent"),
                _event("result", "AnalyzeResponse"),
            ]
        }
    }
    return document


@cache
def public() -> str:
    """The document that requests are made of, as JSON: every name that an error may repeat."""
    document = spoken(json.loads(DEFAULT_PATH.read_text()), Settings(), MODEL)
    return json.dumps(document, ensure_ascii=False)


def _event(name: str, schema: str) -> dict[str, Any]:
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{schema}"},
    }
    return {
        "type": "object",
        "properties": {"event": {"const": name}, "data": data},
        "required": ["event", "data"],
    }


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]
) -> None:
    """Of two fields that exclude each other a valid request sends one, as their descriptions say.

    Not a `oneOf` in `spoken`: with it Schemathesis tries far fewer wrong values of each field.
    """
    if case.path != "/analyze" or case.meta is None or case.meta.generation.mode.is_negative:
        return
    body = case.body
    assert isinstance(body, dict)
    if body.get("text") is None and body.get("texts") is None:
        body["text"] = TEXT
    for first, second in (("text", "texts"), ("tasks", "questions")):
        if body.get(first) is not None and body.get(second) is not None:
            del body[second]


@schemathesis.check
def no_server_error(
    ctx: schemathesis.CheckContext, response: Response, case: schemathesis.Case
) -> None:
    """No answer is the service's fault, but for a deadline that the request set itself."""
    if response.status_code < 500:
        return
    assert DEADLINE in (case.headers or {}), response.text
    assert response.json()["error"]["code"] == DEADLINES.get(response.status_code), response.text


@schemathesis.check
def valid_is_answered(
    ctx: schemathesis.CheckContext, response: Response, case: schemathesis.Case
) -> None:
    """A request that keeps to the document is answered, or refused for a reason in `REFUSED`."""
    if case.meta is None or case.meta.generation.mode.is_negative or response.status_code < 400:
        return
    error = response.json()["error"]
    if response.status_code in DEADLINES and error["code"] == DEADLINES[response.status_code]:
        return
    assert any(
        error["code"] == code and re.fullmatch(field, error["param"] or "")
        for code, field in REFUSED.get(case.path, ())
    ), response.text


@schemathesis.check
def nothing_is_repeated(
    ctx: schemathesis.CheckContext, response: Response, case: schemathesis.Case
) -> None:
    """No error holds a word of the request's body, unless it stands in the document too."""
    if response.status_code < 400 or case.path not in REFUSED:
        return
    error = response.json()["error"]
    for word in set(words(case.body)):
        if len(word) >= FEWEST and word not in public():
            assert word not in error["message"], f"{word!r} in {response.text}"
            assert word not in (error["param"] or ""), f"{word!r} in {response.text}"


def words(value: object) -> Iterator[str]:
    """All strings in a body, names of fields among them."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            pending += [*one, *one.values()]
        elif isinstance(one, list):
            pending += one


def served() -> FastAPI:
    """The app on an engine that answers at once."""
    manifest = assumed_manifest(MODEL, has_chat_template=True)
    return make_app(Analyzer(InstantEngine(), byte_level_tokenizer(), manifest, MODEL))


def run(
    app: FastAPI, routes: Sequence[str], examples: int, seed: int
) -> Iterator[events.EngineEvent]:
    """Send everything, and say what happened."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "continue-on-failure": True,
            "max-stream-events": STREAMED,
            "generation": {"max-examples": examples, "deterministic": True},
            "checks": CHECKS,
        }
    )
    schema = schemathesis.openapi.from_dict(json.loads(public()), config=config)
    schema.app = app
    yield from from_schema(schema.include(path=list(routes))).execute()


def failures(recorder: ScenarioRecorder) -> Iterator[tuple[str, str]]:
    """A check that failed and what it said, with the request."""
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                said = f"{failure.title}: {failure.message}\n{check.failure_info.code_sample}"
                yield check.name, said[:SHOWN]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description="Hold our routes against the OpenAPI document.")
    parser.add_argument("routes", nargs="*", default=ROUTES, metavar="ROUTE")
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args(arguments)

    app = served()
    sent: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for event in run(app, given.routes, given.examples, given.seed):
        if isinstance(event, events.ScenarioFinished):
            where = f"{event.recorder.label} {event.phase.value}"
            for one in event.recorder.interactions.values():
                sent[f"{where} {one.response.status_code if one.response else None}"] += 1
            for name, said in failures(event.recorder):
                failed[f"{where} {name}"] += 1
                if failed[f"{where} {name}"] <= ALIKE:
                    print(f"{where} {name}: {said}\n")
        elif isinstance(event, events.NonFatalError | events.FatalError):
            failed["Schemathesis"] += 1
            print(f"Schemathesis itself: {event}\n")
    for title, counted in (("failed", failed), ("sent", sent)):
        for what, number in sorted(counted.items()):
            print(f"{title}: {number} {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
