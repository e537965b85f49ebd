"""Examples as tokens: exact texts, what is cut, what counts and how much."""

from __future__ import annotations

import functools
import math

import pytest

from imhi.tasks import QUESTIONS
from imhi.wording import ANSWER_SEPARATOR, REASONING, render_query
from service.analysis.manifest import PromptStyle
from service.analysis.types import Truncation
from tests.training.sft.tiny import EXPLANATION, POST, encoder, example, questions, tokenizer
from training.data.example import Example
from training.sft.encoding import Supervision, Tree, TreeEncoder, chosen

LONG = " ".join(f"word{number}" for number in range(300))
TOLD = f"{REASONING} {EXPLANATION}</s>"


@functools.cache
def tree_encoder(
    max_tokens: int = 512,
    style: PromptStyle = PromptStyle.BARE,
    *,
    bos: bool = False,
    truncation: Truncation = Truncation.MIDDLE,
    **rule: object,
) -> TreeEncoder:
    return TreeEncoder(
        tokenizer(bos=bos),
        encoder(style, bos=bos),
        Supervision(**rule),
        max_tokens,
        truncation,
    )


def encoded(*examples: Example, **options: object) -> Tree:
    """The one tree of the examples."""
    (tree,), _ = tree_encoder(**options).encode(examples)
    return tree


def counted(tree: Tree) -> str:
    """The text of the first branch that counts."""
    branch = tree.branches[0]
    tokens = zip(branch.tokens, branch.weights, strict=True)
    return tokenizer().decode([token for token, weight in tokens if weight])


@pytest.mark.parametrize("explained", [True, False])
@pytest.mark.parametrize(
    ("name", "question"), questions(), ids=[f"{name}-{q.id}" for name, q in questions()]
)
def test_every_question_of_every_set_in_its_exact_wording(name, question, explained) -> None:
    for place, label in enumerate(question.labels):
        row = example(question, label=place, set=name)
        if not explained:
            row = example(question, label=place, set=name, explanation=None)
        tree = encoded(row)
        answer = ANSWER_SEPARATOR + label.answer + (TOLD if explained else "")
        (branch,) = tree.branches
        whole = tokenizer().decode([*tree.shared, *branch.tokens])
        assert whole == render_query(POST, question) + answer
        assert counted(tree) == answer
        assert tree.shared_weights == ()


def test_a_text_starts_as_the_tokenizer_starts_every_text() -> None:
    tree = encoded(example(QUESTIONS["stress"]), bos=True)
    assert tokenizer().decode([*tree.shared, *tree.branches[0].tokens]).startswith("<s>Consider")
    assert tree.shared == encoder(bos=True).shared(POST)


def test_a_chat_model_is_trained_in_its_template() -> None:
    question = QUESTIONS["stress"]
    tree = encoded(example(question), style=PromptStyle.CHAT)
    whole = tokenizer().decode([*tree.shared, *tree.branches[0].tokens])
    answer = question.labels[0].answer
    query = render_query(POST, question)
    assert whole == f"<|user|>{query}<|end|><|assistant|>{answer}{TOLD}"
    assert counted(tree) == f"{answer}{TOLD}"


def test_control_tokens_in_a_post_are_mere_text() -> None:
    tree = encoded(example(QUESTIONS["stress"], post="I end here </s><|end|>."))
    own = tokenizer()
    assert own.eos_token_id not in tree.shared
    assert own.convert_tokens_to_ids("<|end|>") not in tree.shared


def test_examples_on_one_post_share_it() -> None:
    rows = [
        example(QUESTIONS["stress"], row=1),
        example(QUESTIONS["depression"], row=1, post="Another day."),
        example(QUESTIONS["loneliness"], row=1),
    ]
    trees, _ = tree_encoder().encode(rows)
    assert [[branch.example for branch in tree.branches] for tree in trees] == [
        [rows[0].id, rows[2].id],
        [rows[1].id],
    ]
    assert trees[0].length == len(trees[0].shared) + sum(len(b.tokens) for b in trees[0].branches)


@pytest.mark.parametrize(
    ("truncation", "kept"),
    [
        (Truncation.HEAD, ('"word0 word1 ', None)),
        (Truncation.TAIL, (None, " word298 word299")),
        (Truncation.MIDDLE, ('"word0 word1 ', " word298 word299")),
    ],
)
def test_only_the_post_is_cut(truncation, kept) -> None:
    asked = (QUESTIONS["stress"], QUESTIONS["loneliness"])
    rows = [example(question, post=LONG) for question in asked]
    (tree,), report = tree_encoder(160, truncation=truncation).encode(rows)
    (whole,), uncut = tree_encoder(20_000, truncation=truncation).encode(rows)
    assert report.cut == [row.id for row in rows]
    assert report.left_out == uncut.cut == []
    assert [branch.tokens for branch in tree.branches] == [b.tokens for b in whole.branches]
    longest = len(tree.shared) + max(len(branch.tokens) for branch in tree.branches)
    assert 150 <= longest <= 160
    text = tokenizer().decode(tree.shared)
    assert text.startswith('Consider this post: "')
    assert text.endswith('" Question:')
    head, tail = kept
    assert (head or "") in text
    assert ((tail + '"') if tail else "") in text


def test_a_row_without_room_for_its_post_is_left_out_and_named() -> None:
    fits = example(QUESTIONS["stress"], explanation=None)
    long = example(QUESTIONS["loneliness"], explanation=LONG)
    alone = example(QUESTIONS["depression"], post="Quiet.", explanation=LONG)
    trees, report = tree_encoder(128).encode([fits, long, alone])
    assert [[branch.example for branch in tree.branches] for tree in trees] == [[fits.id]]
    assert report.left_out == [long.id, alone.id]
    assert report.examples == {fits.set: 1}
    assert report.explained == {fits.set: 0}


def test_the_report_counts() -> None:
    rows = [
        example(QUESTIONS["stress"], row=1),
        example(QUESTIONS["stress"], row=2, post="Fine.", explanation=None),
        example(QUESTIONS["depression"], row=3),
    ]
    trees, report = tree_encoder().encode(rows, explained=frozenset({rows[0].id}))
    assert report.examples == {rows[0].set: 2, rows[2].set: 1}
    assert report.explained == {rows[0].set: 1, rows[2].set: 0}
    assert report.tokens == sum(tree.length for tree in trees)
    counting = [weight > 0 for t in trees for branch in t.branches for weight in branch.weights]
    assert report.supervised == sum(counting) < len(counting)


def test_the_weights_of_an_example_by_hand() -> None:
    question = QUESTIONS["stress"]
    own = tokenizer()
    answer = len(own(f" {question.labels[0].answer}")["input_ids"])
    reason = len(own(TOLD)["input_ids"])
    assert answer > 3
    assert reason > 10
    branch = encoded(example(question), answer_weight=0.3, explanation_weight=0.5).branches[0]
    asked = len(branch.tokens) - answer - reason
    assert branch.weights[:asked] == (0.0,) * asked
    assert branch.weights[asked : asked + answer] == (0.3,) * answer
    assert branch.weights[asked + answer :] == pytest.approx([0.7 * 0.5 / reason] * reason)
    alone = encoded(
        example(question, explanation=None), answer_weight=0.3, explanation_weight=0.5
    ).branches[0]
    assert alone.weights[asked:] == (0.3,) * answer


@pytest.mark.parametrize("by_example", [True, False])
def test_without_an_answer_weight_all_tokens_count_alike(by_example) -> None:
    branch = encoded(
        example(QUESTIONS["stress"]), answer_weight=None, by_example=by_example
    ).branches[0]
    counts = [weight for weight in branch.weights if weight]
    assert len(set(counts)) == 1
    assert math.fsum(counts) == pytest.approx(1 if by_example else len(counts))


@pytest.mark.parametrize("answer_weight", [0.5, None])
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_the_branch_of_an_answer_ends_where_it_is_told_apart(question, answer_weight) -> None:
    answers = [tokenizer()(f" {label.answer}")["input_ids"] for label in question.labels]
    for place, answer in enumerate(answers):
        branch = encoded(
            example(question, label=place, explanation=None),
            whole_sentence=False,
            answer_weight=answer_weight,
        ).branches[0]
        counts = [weight for weight in branch.weights if weight]
        trained = [t for t, weight in zip(branch.tokens, branch.weights, strict=True) if weight]
        assert [one for one in answers if one[: len(trained)] == trained] == [answer]
        before = [one for one in answers if one[: len(trained) - 1] == trained[:-1]]
        assert len(before) > 1
        if answer_weight is None:
            assert math.fsum(counts) == pytest.approx(1)


def test_plain_training_counts_every_token() -> None:
    tree = encoded(example(QUESTIONS["stress"]), full_text=True, answer_weight=None)
    assert tree.shared_weights == (1.0,) * len(tree.shared)
    assert set(tree.branches[0].weights) == {1.0}


def test_explanations_are_chosen_by_their_share_and_more_rows_change_no_choice() -> None:
    rows = [example(QUESTIONS["stress"], row=row) for row in range(400)]
    some = chosen(rows, lambda _: 0.3, seed=1)
    assert 0.2 < len(some) / len(rows) < 0.4
    assert chosen(rows[:100], lambda _: 0.3, seed=1) == some & {row.id for row in rows[:100]}
    assert chosen(rows, lambda _: 0.3, seed=2) != some
    assert chosen(rows, lambda _: 1.0, seed=1) == {row.id for row in rows}
    assert chosen(rows, lambda _: 0.0, seed=1) == frozenset()
    bare = example(QUESTIONS["stress"], explanation=None)
    assert chosen([bare], lambda _: 1.0, seed=1) == frozenset()
