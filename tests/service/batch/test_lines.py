"""Lines of a batch file: requests, and what is wrong with those that are none."""

from __future__ import annotations

import json

import pytest

from service.batch.lines import Line, read_lines
from service.errors import InvalidRequestError

SECRET = "I count the hours until the alarm."
GOOD = {"custom_id": "a", "method": "POST", "url": "/analyze", "body": {"text": SECRET}}


def read(tmp_path, *lines: object) -> list[Line]:
    path = tmp_path / "requests.jsonl"
    texts = (one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines)
    path.write_bytes(b"\n".join(texts))
    return list(read_lines(path))


def test_requests_keep_their_order_and_empty_lines_their_number(tmp_path) -> None:
    first, second = read(tmp_path, GOOD, b"  ", GOOD | {"custom_id": "b", "url": "/v1/decisions"})
    assert (first.number, first.custom_id, first.url) == (1, "a", "/analyze")
    assert json.loads(first.body) == {"text": SECRET}
    assert (second.number, second.custom_id, second.url) == (3, "b", "/v1/decisions")
    assert first.error is second.error is None


def test_a_byte_order_mark_is_no_fault(tmp_path) -> None:
    [line] = read(tmp_path, b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert line.error is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{" + SECRET.encode(), "no JSON object"),
        (b'"' + SECRET.encode() + b'"', "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b'{"body": "\xff"}', "no JSON object"),
        ({**GOOD, "custom_id": None}, "custom_id"),
        ({**GOOD, "custom_id": ""}, "custom_id"),
        ({**GOOD, "method": "GET"}, "method"),
        ({**GOOD, "url": "/v1/embeddings"}, "/v1/chat/completions"),
        ({**GOOD, "url": "/metrics"}, "url"),
        ({**GOOD, "url": "http://elsewhere.example/analyze"}, "url"),
        ({**GOOD, "body": SECRET}, "body"),
        ({**GOOD, "body": {"text": SECRET, "stream": True}}, "stream"),
        ({"custom_id": "a"}, "method: Field required."),
    ],
)
def test_what_is_no_request_says_why_and_nothing_of_the_text(tmp_path, line, said: str) -> None:
    [found] = read(tmp_path, line)
    assert found.error is not None
    assert said in found.error
    assert "alarm" not in found.error


def test_a_custom_id_is_used_once(tmp_path) -> None:
    first, second = read(tmp_path, GOOD, GOOD)
    assert first.error is None
    assert second.error is not None
    assert "custom_id" in second.error


def test_a_file_that_cannot_be_read_is_said(tmp_path) -> None:
    with pytest.raises(InvalidRequestError, match="No such file"):
        list(read_lines(tmp_path / "absent"))
