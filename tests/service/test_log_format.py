from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest

from service.log_format import JsonFormatter, LogFormat, TextFormatter, configure_logs

FACTS = {"request_id": "mine", "status": 200, "trace_id": None}


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]):
    """What is written to standard output after the log was configured so."""
    logger = logging.getLogger("mentalllama")
    before, level = list(logger.handlers), logger.level

    def write(how: LogFormat, log: Callable[[logging.Logger], None]) -> str:
        configure_logs(how)
        log(logging.getLogger("mentalllama.access"))
        return capsys.readouterr().out

    yield write
    logger.handlers[:] = before
    logger.setLevel(level)


def test_text_is_a_line_with_its_facts(written):
    line = written("text", lambda log: log.info("request", extra={"facts": FACTS}))
    assert line.endswith("[mentalllama.access] request request_id=mine status=200\n")


def test_json_is_one_object_a_line(written):
    line = written("json", lambda log: log.warning("say %s", "it\n", extra={"facts": FACTS}))
    assert line.count("\n") == 1
    found = json.loads(line)
    assert found["time"].endswith("+00:00")
    del found["time"], found["process"]
    assert found == {
        "level": "WARNING",
        "logger": "mentalllama.access",
        "message": "say it\n",
        **FACTS,
    }


def test_configuring_twice_writes_once(written):
    configure_logs("text")
    assert written("json", lambda log: log.info("once")).count("once") == 1


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_record_without_facts(formatter: logging.Formatter):
    record = logging.makeLogRecord({"msg": "hello", "name": "mentalllama", "levelname": "INFO"})
    assert "hello" in formatter.format(record)


@pytest.mark.parametrize(
    ("target", "shown"),
    [("/analyze?text=secret", "/analyze"), ("/secret?x", "other"), ("/tasks", "/tasks")],
)
def test_uvicorns_line_on_a_request_keeps_no_more_than_the_route(written, target, shown):
    written("text", lambda _: None)
    record = logging.makeLogRecord(
        {
            "name": "uvicorn.access",
            "msg": '%s - "%s %s HTTP/%s" %d',
            "args": ("127.0.0.1:1", "GET", target, "1.1", 200),
        }
    )
    assert logging.getLogger("uvicorn.access").filter(record)
    assert record.getMessage() == f'127.0.0.1:1 - "GET {shown} HTTP/1.1" 200'
