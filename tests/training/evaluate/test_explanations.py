from dataclasses import replace
from pathlib import Path

import pytest

from imhi.tasks import QUESTIONS
from tests.training.evaluate.tiny_models import save_encoder, save_seq2seq
from training.evaluate import bartscore, bertscore
from training.evaluate.explanation_metrics import DEFINITIONS
from training.evaluate.explanations import measure
from training.evaluate.overlap import bleu, rouge
from training.evaluate.records import Explained, FreeForm, Record
from training.evaluate.results import ExplanationResults, ExplanationScores

POST = "I cannot sleep at night, and my sister calls but nobody asks why."
SAID = 'The poster says "I cannot sleep" and that nobody asks.'
MADE_UP = 'The poster says "I hate my work" and is tired.'
REFERENCE = "The poster says they cannot sleep, and that nobody asks why."
NO_MODELS = {"bertscore": None, "bartscore": None}


def explained(text: str, label: str = "yes", **changes) -> Explained:
    made = Explained(label=label, text=text, finish_reason="stop", tokens=9, consistency=0.75)
    return replace(made, **changes)


def record(number: int, said: Explained | None = None, set_id: str = "DR", **changes) -> Record:
    question = {"DR": "depression", "dreaddit": "stress", "loneliness": "loneliness"}[set_id]
    assert question in QUESTIONS
    made = Record(
        id=f"{set_id}:{number}",
        set=set_id,
        split="val",
        question=question,
        post=POST,
        post_key=f"{set_id}-{number}",
        reference="yes",
        reference_explanation=REFERENCE,
        explained=said,
    )
    return replace(made, **changes)


def free_form(explanation: str | None, label: str | None = "yes") -> FreeForm:
    return FreeForm(
        text=explanation or "",
        finish_reason="stop",
        tokens=9,
        label=label,
        explanation=explanation,
        problem=None if label else "no_label",
    )


RECORDS = [
    record(1, explained(SAID)),
    record(2, explained(MADE_UP, label="no", consistency=0.25)),
    record(3, explained("", finish_reason="length", consistency=None)),
    record(4, explained("It is so. " + "They say nobody asks. " * 2), set_id="dreaddit"),
    record(5, None, set_id="loneliness"),
]


def scores_of(
    results: ExplanationResults, way: str = "read"
) -> dict[str | None, ExplanationScores]:
    return {scores.set: scores for scores in results.ways[way]}


def values(scores: ExplanationScores) -> dict[str, float | None]:
    return {metric: figure.value for metric, figure in scores.figures.items()}


@pytest.fixture(scope="module")
def results() -> ExplanationResults:
    return measure(RECORDS, **NO_MODELS)


def test_all_sets_come_first_and_sets_without_an_explanation_not_at_all(results):
    assert [(scores.set, scores.rows) for scores in results.ways["read"]] == [
        (None, 4),
        ("DR", 3),
        ("dreaddit", 1),
    ]
    assert "free_form" not in results.ways


def test_every_figure_is_defined(results):
    for scores in results.ways["read"]:
        assert list(scores.figures) == list(DEFINITIONS)
    assert list(results.definitions) == list(DEFINITIONS)
    assert "tok:13a" in results.definitions["bleu"]
    assert "not measured" in results.definitions["bertscore_f1"]


def test_figures_are_quotients_of_sums(results):
    dr = values(scores_of(results)["DR"])
    assert dr["quotes_found"] == 0.5  # one of two
    assert dr["with_quote"] == pytest.approx(2 / 3, abs=1e-6)
    assert dr["quotes"] == pytest.approx(2 / 3, abs=1e-6)
    assert dr["consistency"] == 0.5  # two were read
    assert dr["consistent"] == 0.5
    assert dr["explains_reference"] == pytest.approx(2 / 3, abs=1e-6)
    assert dr["cut_off"] == pytest.approx(1 / 3, abs=1e-6)
    assert dr["empty"] == pytest.approx(1 / 3, abs=1e-6)
    assert dr["repeats"] == 0
    assert dr["repeats_or_cut_off"] == pytest.approx(1 / 3, abs=1e-6)
    assert values(scores_of(results)[None])["repeats_or_cut_off"] == 0.5


def test_overlap_is_with_the_reference_explanation(results):
    texts = [SAID, MADE_UP, ""]
    mean = sum(score.rouge_l for score in rouge(texts, [REFERENCE] * 3)) / 3
    dr = values(scores_of(results)["DR"])
    assert dr["rouge_l"] == pytest.approx(mean, abs=1e-6)
    assert dr["bleu"] == pytest.approx(bleu(texts, [REFERENCE] * 3).score, abs=1e-6)


def test_all_is_of_the_samples_and_not_of_the_sets(results):
    by_set = scores_of(results)
    expected = (
        3 * by_set["DR"].figures["rouge_1"].value + by_set["dreaddit"].figures["rouge_1"].value
    ) / 4
    assert by_set[None].figures["rouge_1"].value == pytest.approx(expected, abs=1e-5)


def test_what_cannot_be_measured_has_a_reason_and_no_value(results):
    dreaddit = scores_of(results)["dreaddit"].figures
    assert (dreaddit["quotes_found"].value, dreaddit["quotes_found"].reason) == (
        None,
        "No explanation quotes anything.",
    )
    assert dreaddit["bertscore_f1"].value is None
    assert dreaddit["bertscore_f1"].reason == "No encoder was named."
    assert dreaddit["bartscore_recall"].reason == "No seq2seq model was named."


def test_rows_without_a_reference_explanation_are_not_compared():
    alone = replace(RECORDS[1], reference_explanation=None)
    results = measure([RECORDS[0], alone], **NO_MODELS)
    (score,) = rouge([SAID], [REFERENCE])
    dr = values(scores_of(results)["DR"])
    assert dr["rouge_1"] == pytest.approx(score.rouge_1, abs=1e-6)
    assert dr["quotes_found"] == 0.5


def test_without_any_reference_no_model_is_loaded(tmp_path: Path):
    records = [replace(one, reference_explanation=None) for one in RECORDS]
    results = measure(records, bertscore=tmp_path / "gone", bartscore=tmp_path / "gone")
    figures = scores_of(results)["DR"].figures
    for metric in ("rouge_1", "bleu", "bertscore_f1", "bartscore_recall"):
        assert figures[metric].reason == "There is no reference explanation."
    assert figures["quotes"].value is not None


def test_free_form_explanations_are_measured_apart():
    records = [
        replace(RECORDS[0], free_form=free_form(MADE_UP)),
        replace(RECORDS[1], free_form=free_form(None, label=None)),
    ]
    results = measure(records, **NO_MODELS)
    dr = scores_of(results, "free_form")["DR"]
    assert dr.figures["quotes_found"].value == 0
    assert dr.figures["empty"].value == 0.5
    assert dr.figures["explains_reference"].value == 0.5
    assert dr.figures["consistency"].reason == "No explanation was read alone."
    assert scores_of(results)["DR"].figures["quotes_found"].value == 0.5


def test_intervals_come_from_posts():
    spread = [record(i, explained(SAID, consistency=i / 20)) for i in range(20)]
    figure = scores_of(measure(spread, **NO_MODELS))["DR"].figures["consistency"]
    low, high = figure.interval
    assert low < figure.value < high
    # The standard error of the mean of 0, 0.05 ... 0.95 over 20 posts is 0.064.
    assert high - low == pytest.approx(4 * 0.0645, rel=0.2)
    same_post = [replace(one, post_key="one") for one in spread]
    figure = scores_of(measure(same_post, **NO_MODELS))["DR"].figures["consistency"]
    assert figure.interval == (figure.value, figure.value)


def test_with_models(tmp_path: Path):
    encoder, scorer = save_encoder(tmp_path / "enc"), save_seq2seq(tmp_path / "seq")
    seen: list[tuple[str, int, int]] = []
    results = measure(
        RECORDS,
        bertscore=encoder,
        bertscore_layer=1,
        bartscore=scorer,
        device="cpu",
        on_scored=lambda *progress: seen.append(progress),
    )
    texts, references = [SAID, MADE_UP, ""], [REFERENCE] * 3
    loaded = bertscore.load_encoder(encoder, layer=1, device="cpu")
    matches = bertscore.score_pairs(loaded, texts, references)
    dr = values(scores_of(results)["DR"])
    assert dr["bertscore_f1"] == pytest.approx(sum(one.f1 for one in matches) / 3, abs=1e-5)
    model = bartscore.load_scorer(scorer, device="cpu")
    recall = bartscore.score_pairs(model, texts, references)
    assert dr["bartscore_recall"] == pytest.approx(sum(recall) / 3, abs=1e-5)
    precision = bartscore.score_pairs(model, references[:2], texts[:2])  # the empty one is not
    assert dr["bartscore_precision"] == pytest.approx(sum(precision) / 2, abs=1e-5)
    assert results.definitions["bertscore_f1"].endswith("(with enc, layer 1).")
    assert results.definitions["bartscore_recall"].endswith("(with seq).")
    assert [one for one in seen if one[1] == one[2]] == [("BERTScore", 4, 4), ("BARTScore", 7, 7)]


def test_a_model_that_cannot_be_loaded_is_a_reason(tmp_path: Path):
    results = measure(RECORDS, bertscore=tmp_path / "gone", bartscore=tmp_path / "away")
    figures = scores_of(results)["DR"].figures
    assert figures["bertscore_f1"].value is None
    assert "no directory `gone`" in figures["bertscore_f1"].reason
    assert "no directory `away`" in figures["bartscore_recall"].reason
    assert str(tmp_path) not in results.model_dump_json()
    assert figures["rouge_1"].value is not None


def test_no_explanations_at_all():
    assert measure([RECORDS[4]], **NO_MODELS).ways == {}
