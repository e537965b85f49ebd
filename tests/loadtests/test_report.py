"""The benchmark's page and JSON, of made-up measurements."""

from __future__ import annotations

import json

from loadtests.goals import judge
from loadtests.latency import Sample, summarise
from loadtests.measured import Measured
from loadtests.report import ABOUT, document, goal_table, to_json
from loadtests.report_plots import PLOTS
from loadtests.suite import NAMES
from training.evaluate.plots import amounts
from training.evaluate.report_html import to_html

FACTS = {"cores": 2, "processor": "P", "versions": {"torch": "1"}}


def made() -> list[Measured]:
    samples = [Sample(0, 0, 0.1, 0.2, 0.5, 20, 1), Sample(0, 0, 0.2, 0.3, 1.0, 20, 1)]
    explained = Measured("explained")
    for way, tokens in (("ours", 20), ("chat", 10)):
        several = [Sample(0, 0, 0.1, 0.2, 0.5, tokens, 1)] * 2
        explained.add(way, summarise(several))
    explained.goals["explained.chat"] = (2.0, "three rounds")
    latency = Measured("latency")
    latency.add("unloaded", summarise(samples))
    for share in ("50%", "70%"):
        latency.add(share, {**summarise(samples).to_json(), "offered": 3.5})
    growth = Measured("growth")
    for number in (100, 1000):
        growth.add(str(number), {**summarise(samples).to_json(), "resident_bytes": 2**30})
    growth.absent["100000"] = "left out for its time"
    return [explained, latency, growth]


def test_a_ratio_is_taken_within_a_round() -> None:
    found = Measured("x")
    for ours, other in ((10.0, 5.0), (4.0, 1.0), (30.0, 10.0)):
        found.add("ours", {"requests_per_second": ours})
        found.add("other", {"requests_per_second": other})
    assert found.ratio("ours", "other") == 3.0


def test_the_page_shows_every_goal_and_measurement() -> None:
    measured = made()
    outcomes = judge({goal: value for one in measured for goal, value in one.goals.items()})
    page = to_html(document(measured, outcomes, FACTS))
    assert "explained.chat" in page
    assert "1 of 14 are met." in page
    # Bars of the ways, three of latency, memory.
    assert page.count("<svg") == 5
    assert "100000: not measured: left out for its time." in page
    assert "1,024" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_json_has_the_goals_with_their_ids() -> None:
    measured = made()
    outcomes = judge(measured[0].goals)
    found = json.loads(json.dumps(to_json(measured, outcomes, FACTS)))
    by_id = {goal["id"]: goal for goal in found["goals"]}
    assert by_id["explained.chat"]["met"] is True
    assert by_id["explained.chat"]["value"] == 2.0
    assert by_id["labels.chat"] == {**by_id["labels.chat"], "value": None, "met": False}
    assert found["not_measured"] == {"growth": {"100000": "left out for its time"}}
    assert found["measurements"]["latency"]["70%"][0]["offered"] == 3.5
    assert len(goal_table(outcomes).rows) == 14


def test_every_measurement_is_told_of_and_drawn() -> None:
    assert set(NAMES) == set(ABOUT)
    assert set(NAMES) - set(PLOTS) == {"overhead"}


def test_bars_carry_their_numbers() -> None:
    drawn = amounts("Speeds", {"ours": 12.34, "theirs": 0.5}, across="posts a second")
    assert ">theirs<" in drawn
    assert "12.3" in drawn
    assert 'aria-label="Speeds"' in drawn
