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

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def scraped(
    embedded_server: RunningServer,
    analyze_embedded: Callable[..., dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prometheus]:
    """Prometheus with some traffic in it."""
    folder = tmp_path_factory.mktemp("prometheus")
    with scraping(embedded_server.url.removeprefix("http://"), folder) as prometheus:
        client = httpx.Client(base_url=embedded_server.url, timeout=120)
        assert eventually(lambda: bool(prometheus.query('up{job="mentalllama"} == 1')), 30)
        for number in range(4):
            analyze_embedded(f"{number} {POST}")
            analyze_embedded(None, texts=[f"{number} {QUOTED}", POST], explanation_tokens=16)
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
        yield prometheus


def test_every_rule_is_evaluated_without_an_error(scraped: Prometheus) -> None:
    rules = scraped.rules()
    assert {rule["name"] for rule in rules} == recorded() | {one["alert"] for one in alerts()}
    assert [rule for rule in rules if rule["health"] != "ok"] == []


def test_every_expression_returns_data(scraped: Prometheus) -> None:
    """Of rules and of dashboards."""
    without = []
    for where, expression in expressions().items():
        for quantity in quantities(expression):
            values = [float(one["value"][1]) for one in scraped.query(quantity)]
            if all(map(math.isnan, values)):
                without.append((where, quantity))
    assert without == []


def test_nothing_is_alerted_on_while_all_is_well(scraped: Prometheus) -> None:
    firing = scraped.query('ALERTS{alertstate="firing"}')
    assert firing == []


def test_what_was_asked_is_what_was_counted(scraped: Prometheus) -> None:
    (posts,) = scraped.query("mentalllama_posts_total")
    assert float(posts["value"][1]) >= 12
    shares = scraped.query("sum by (question) (question_label:mentalllama_labels:share_increase1d)")
    read = [float(one["value"][1]) for one in shares]
    assert [share for share in read if not math.isnan(share)] == pytest.approx(
        [1.0] * sum(not math.isnan(share) for share in read)
    )
