"""What the report counts, on ratings whose figures are known."""

from __future__ import annotations

import pytest

from tests.training.annotate.made import items, key_of, ratings
from training.annotate.content import document
from training.annotate.metrics import Metrics
from training.annotate.results import AnnotationResults, compute
from training.evaluate.report_html import to_html
from training.evaluate.report_markdown import to_markdown
from training.evaluate.results import BootstrapSettings

MADE = items()  # of two systems on ten posts: b's explanations are 20 words longer
SETTINGS = BootstrapSettings(resamples=200, seed=0)
# Both annotators: a gets 0 or 1, b 2 or 3, by turns; ben gives a's first item one more.
ANA = [number % 2 for number in range(10)] + [2 + number % 2 for number in range(10)]
BEN = [1, *ANA[1:]]


@pytest.fixture(scope="module")
def results() -> AnnotationResults:
    said = ratings(MADE, {"ana": ANA, "ben": BEN})
    parity = {item: float(value) for item, value in zip(MADE, ANA, strict=True)}
    others = Metrics({"oracle": parity}, {"oracle": "What ana says."})
    return compute(MADE, key_of(MADE), said, SETTINGS, others)


def test_means_are_of_all_numbers(results: AnnotationResults) -> None:
    overall = results.criteria[-1]
    assert overall.criterion == "overall"
    assert overall.means["a"].value == pytest.approx((5 + 6) / 20)
    assert overall.means["b"].value == pytest.approx(2.5)
    assert overall.ratings == {"a": 20, "b": 20}
    for figure in overall.means.values():
        assert figure.interval is not None
        assert figure.interval[0] <= (figure.value or 0) <= figure.interval[1]
        assert figure.interval[0] < figure.interval[1]
    assert (results.items, results.rated, results.ratings) == (20, 20, 160)


def test_agreement_is_by_system_and_of_all(results: AnnotationResults) -> None:
    overall = results.criteria[-1]
    assert overall.alpha["b"] == 1
    assert 0 < (overall.alpha["a"] or 0) < (overall.alpha["all"] or 0) < 1
    [pair] = overall.pairs
    assert (pair.annotators, pair.items, pair.exact, pair.close) == (("ana", "ben"), 20, 0.95, 1.0)


def test_a_metric_that_tells_only_systems_apart_has_no_correlation_within(
    results: AnnotationResults,
) -> None:
    overall = {one.metric: one for one in results.criteria[-1].correlations}
    words, oracle = overall["words"], overall["oracle"]
    assert (words.spearman or 0) > 0.7
    assert abs(words.within or 0) < 0.3
    assert (oracle.spearman or 0) > 0.95
    assert (oracle.within or 0) > 0.8
    assert words.interval is not None
    assert words.interval[0] <= (words.spearman or 0) <= words.interval[1]
    assert overall["quotes_found"].items == 0  # nothing is quoted
    assert overall["quotes_found"].spearman is None


def test_what_nobody_rated_is_no_zero() -> None:
    only_a = dict(list(MADE.items())[:10])
    some = compute(MADE, key_of(MADE), ratings(only_a, {"ana": ANA[:10]}), SETTINGS)
    overall = some.criteria[-1]
    assert overall.means["b"].value is None
    assert overall.means["b"].reason
    assert overall.alpha == {"all": None, "a": None, "b": None}
    assert overall.pairs == ()


def test_the_report_holds_every_figure_and_no_text(results: AnnotationResults) -> None:
    markdown, page = to_markdown(document(results)), to_html(document(results))
    assert "| b | 20 | 2.500 [" in markdown
    assert "| ana and ben: Overall | 20 | 95% | 100% |" in markdown
    assert "no diagnosis" in markdown or "not whether anybody suffers" in markdown
    for text in (markdown, page):
        assert "oracle" in text
        assert not any(item.post in text for item in MADE.values())
