"""A real Prometheus scrapes the service: every expression that is deployed returns data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.deploy.expressions import alerts, expressions, quantities, recorded
from tests.e2e.posts import POST, QUOTED
from tests.e2e.prometheus import Prometheus, scraping
from tests.e2e.scrape import eventually
from tests.servers import RunningServer

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def scraped(
    server: RunningServer,
    client: httpx.Client,
    analyze: Callable[..., dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Prometheus, float]]:
    """Prometheus with some traffic in it, and when that began."""
    folder = tmp_path_factory.mktemp("prometheus")
    with scraping(server.url.removeprefix("http://"), folder) as prometheus:
        assert eventually(lambda: bool(prometheus.query('up{job="mentalllama"} == 1')), 30)
        start = time.time()
        for number in range(4):
            analyze(f"{number} {POST}")
            analyze(None, texts=[f"{number} {QUOTED}", POST], explanation_tokens=16)
            client.post("/analyze", json={"text": ""})
            client.post(
                "/v1/completions",
                json={"model": "mentalllama-embedded", "prompt": "Good morning", "max_tokens": 4},
            )
        evaluated = time.time()

        def up_to_date() -> bool:
            answer = prometheus.query("min(timestamp(question:mentalllama_labels:increase1d))")
            return bool(answer) and float(answer[0]["value"][1]) > evaluated + 2

        assert eventually(up_to_date, 60)
        yield prometheus, start


def test_every_rule_is_evaluated_without_an_error(scraped: tuple[Prometheus, float]) -> None:
    prometheus, _ = scraped
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == recorded() | {one["alert"] for one in alerts()}
    assert [rule for rule in rules if rule["health"] != "ok"] == []


@pytest.mark.parametrize("where", expressions())
def test_every_expression_returns_data(scraped: tuple[Prometheus, float], where: str) -> None:
    prometheus, _ = scraped
    for quantity in quantities(expressions()[where]):
        values = [float(one["value"][1]) for one in prometheus.query(quantity)]
        assert values, quantity
        assert not all(map(math.isnan, values)), quantity


def test_nothing_is_alerted_on_while_all_is_well(scraped: tuple[Prometheus, float]) -> None:
    prometheus, _ = scraped
    firing = prometheus.query('ALERTS{alertstate="firing"}')
    assert firing == []


def test_what_was_asked_is_what_was_counted(scraped: tuple[Prometheus, float]) -> None:
    prometheus, _ = scraped
    (posts,) = prometheus.query("mentalllama_posts_total")
    assert float(posts["value"][1]) >= 12
    shares = prometheus.query(
        "sum by (question) (question_label:mentalllama_labels:share_increase1d)"
    )
    read = [float(one["value"][1]) for one in shares]
    assert [share for share in read if not math.isnan(share)] == pytest.approx(
        [1.0] * sum(not math.isnan(share) for share in read)
    )
