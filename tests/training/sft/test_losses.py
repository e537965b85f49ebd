"""The weighted loss: by hand, and the same in every layout, attention and way of the head."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from imhi.tasks import QUESTIONS
from tests.lazy import torch
from tests.training.sft.tiny import EXPLANATION, base, encoder, example, load, tokenizer
from training.sft.collate import COLUMNS, Collator
from training.sft.encoding import Supervision, Tree, TreeEncoder
from training.sft.layout import IGNORED, Layout, lay_out
from training.sft.losses import weighted_loss

PARAMETER = "model.layers.0.self_attn.k_proj.weight"
ATTENTIONS = ("sdpa", "grouped", "eager")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base(tmp_path_factory.mktemp("losses") / "base")


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, Any]:
    return {attention: load(folder, attention) for attention in ATTENTIONS}


def trees(**rule: Any) -> list[Tree]:
    """Two posts, one of them with three questions, whose examples weigh differently."""
    rows = [
        example(QUESTIONS["stress"], row=1),
        example(QUESTIONS["depression"], row=2, label=1, explanation=None),
        example(QUESTIONS["stress_cause"], row=3, label=4, explanation=f"{EXPLANATION} Truly."),
        example(QUESTIONS["loneliness"], row=4, post="Quiet. The flat is empty.", label=1),
    ]
    weights = {row.id: 0.5 + number for number, row in enumerate(rows)}
    made = TreeEncoder(tokenizer(), encoder(), Supervision(**rule), 512)
    return made.encode(rows, weights=weights)[0]


def batch_of(made: list[Tree], layout: Layout, attention: str) -> dict[str, Any]:
    rows = lay_out(made, layout, 1024)
    collate = Collator(0, multiple=8, attention=attention)
    return collate([{name: getattr(row, name) for name in COLUMNS} for row in rows])


def loss_of(model: Any, batch: dict[str, Any], count: str = "examples") -> torch.Tensor:
    inputs = {k: v for k, v in batch.items() if k not in ("weights", "examples", "tokens")}
    log_probs = model(**inputs, supervised=True)
    return weighted_loss(log_probs, batch["weights"], batch[count].sum())


def loss_and_gradient(model: Any, batch: dict[str, Any]) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    loss = loss_of(model, batch)
    loss.backward()
    return loss.item(), model.get_parameter(PARAMETER).grad.clone()


@pytest.fixture(scope="module")
def reference(models: dict[str, Any]) -> tuple[float, torch.Tensor]:
    """Loss and gradient by the formula, each example on its own through transformers alone."""
    model = models["sdpa"]
    model.zero_grad()
    total: Any = 0.0
    count = 0.0
    for tree in trees():
        for branch in tree.branches:
            tokens = torch.tensor([[*tree.shared, *branch.tokens]])
            logits = model(input_ids=tokens).logits[0, :-1]
            chosen = torch.log_softmax(logits, -1).gather(1, tokens[0, 1:, None])[:, 0]
            weights = torch.tensor((*(0.0,) * len(tree.shared), *branch.weights))[1:]
            total = total - branch.weight * (chosen * weights).sum()
            count += branch.weight
    loss = total / count
    loss.backward()
    return loss.item(), model.get_parameter(PARAMETER).grad.clone()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("layout", Layout)
def test_the_loss_is_the_same_in_every_layout_and_attention(
    models, reference, layout, attention
) -> None:
    loss, gradient = loss_and_gradient(models[attention], batch_of(trees(), layout, attention))
    assert loss == pytest.approx(reference[0], abs=1e-4)
    assert reference[1].abs().max() > 0.1
    torch.testing.assert_close(gradient, reference[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", [Layout.PADDED, Layout.PACKED])
def test_positions_that_start_anew_keep_texts_apart_as_a_mask_does(
    models, reference, layout
) -> None:
    batch = batch_of(trees(), layout, "flash_attention_2")
    assert batch["input_ids"].shape[0] == 1
    loss, gradient = loss_and_gradient(models["sdpa"], batch)
    assert loss == pytest.approx(reference[0], abs=1e-4)
    torch.testing.assert_close(gradient, reference[1], atol=1e-4, rtol=1e-4)


def test_plain_training_is_the_model_s_own_loss(models) -> None:
    made = trees(full_text=True, answer_weight=None, by_example=False)
    for tree in made:
        single = [Tree(tree.shared, tree.branches[:1], tree.shared_weights)]
        batch = batch_of(single, Layout.PADDED, "sdpa")
        ids = torch.tensor([[*tree.shared, *tree.branches[0].tokens]])
        own = models["sdpa"](input_ids=ids, labels=ids).loss
        assert loss_of(models["sdpa"], batch, "weights").item() == pytest.approx(
            own.item(), abs=1e-4
        )


def test_a_weighted_loss_by_hand() -> None:
    log_probs = torch.tensor([[-1.0, -2.0, 0.0], [0.0, -4.0, -8.0]])
    weights = torch.tensor([[9.0, 0.5, 0.25, 0.0], [9.0, 0.0, 1.0, 2.0]])
    expected = (0.5 * 1 + 0.25 * 2 + 1 * 4 + 2 * 8) / 3
    assert weighted_loss(log_probs, weights, 3).item() == pytest.approx(expected)


def test_the_head_gives_the_log_probabilities_of_labels_alone(models) -> None:
    model = models["sdpa"]
    ids = torch.tensor([[5, 300, 17, 80, 41]])
    labels = torch.tensor([[IGNORED, 300, IGNORED, 80, IGNORED]])
    given = model(input_ids=ids, labels=labels, supervised=True)
    every = torch.log_softmax(model(input_ids=ids).logits, -1).tolist()
    expected = torch.tensor([[every[0][0][300], 0.0, every[0][2][80], 0.0]])
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-5)


def test_a_row_in_which_nothing_counts_has_a_loss_of_zero_and_a_gradient(models) -> None:
    ids = torch.tensor([[5, 300, 17]])
    given = models["sdpa"](input_ids=ids, labels=torch.full_like(ids, IGNORED), supervised=True)
    assert given.tolist() == [[0.0, 0.0]]


def test_a_model_generates_as_before(folder, models) -> None:
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.tensor([[5, 300, 17]])
    options: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False}
    expected = plain.generate(ids, **options)
    assert torch.equal(models["sdpa"].generate(ids, **options), expected)


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("Gemma2ForCausalLM", {"final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}),
        ("GraniteForCausalLM", {"logits_scaling": 4.0}),
        ("PhiForCausalLM", {"num_key_value_heads": 4}),
    ],
)
def test_a_head_that_is_no_mere_product_counts_as_the_model_has_it(
    architecture, changes, tmp_path
) -> None:
    model = load(base(tmp_path / "base", architecture, **changes), "eager").eval()
    if getattr(model.lm_head, "bias", None) is not None:
        torch.nn.init.normal_(model.lm_head.bias)
    ids = torch.tensor([[5, 300, 17, 80]])
    logits = model(input_ids=ids).logits
    read = model(input_ids=ids, places=([0, 0], [1, 3]))
    torch.testing.assert_close(read, logits[0, [1, 3]], atol=1e-5, rtol=1e-5)
    given = model(input_ids=ids, labels=ids, supervised=True)
    expected = torch.log_softmax(logits[:, :-1], -1).gather(2, ids[:, 1:, None])[..., 0]
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-5)


def test_the_fused_head_of_gpus_gives_the_same_log_probabilities(models) -> None:
    from trl.trainer.utils import add_fused_lm_head

    model = copy.deepcopy(models["sdpa"])
    batch = batch_of(trees(), Layout.SHARED, "sdpa")
    inputs = {k: v for k, v in batch.items() if k not in ("weights", "examples", "tokens")}
    expected = models["sdpa"](**inputs, supervised=True)
    del model.forward
    add_fused_lm_head(model)
    given = model(**inputs, fused_lm_head=True).log_probs
    torch.testing.assert_close(given, expected, atol=1e-4, rtol=1e-4)
