"""The memory estimate: its counts against torch's own, its directions, its advice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.sft.recipes import tiny
from training.errors import ModelFilesError, RecipeError, ResourcesError
from training.sft.machine import Machine
from training.sft.memory import Setting, check, estimate, kept_by_layer
from training.sft.overrides import resolve
from training.sft.recipe import Recipe
from training.sft.size import ModelSize, measure

GIB = 2**30
SIZE_7B = ModelSize(
    architecture="LlamaForCausalLM",
    parameters=6_738_415_616,
    linear=6_476_005_376,
    trained=6_738_415_616,
    layers=32,
    hidden=4096,
    intermediate=11008,
    heads=32,
    queries=4096,
    keys=4096,
    vocabulary=32000,
    context=4096,
)


def recipe(*overrides: str, name: str = "mentalllama-7b") -> Recipe:
    return resolve(name, overrides).recipe


def cpu(gibibytes: float) -> Setting:
    return Setting(Machine("cpu", "CPU", 1, round(gibibytes * GIB)))


def gpus(count: int, gibibytes: float, processes: int = 1) -> Setting:
    machine = Machine("cuda", "GPU", count, round(gibibytes * GIB))
    return Setting(machine, processes, sharded=processes > 1)


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "Qwen3ForCausalLM"])
def test_parameters_are_those_of_the_weights(architecture, tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    path = tiny(tmp_path / "model", architecture)
    model = AutoModelForCausalLM.from_pretrained(path)
    size = measure(recipe(f"model.base={path}"))
    assert size.architecture == architecture
    assert size.parameters == model.num_parameters()
    assert size.trained == size.parameters
    assert size.linear == sum(p.numel() for n, p in model.named_parameters() if "proj" in n)
    assert (size.layers, size.hidden, size.intermediate) == (2, 64, 160)
    assert (size.heads, size.queries, size.keys, size.vocabulary) == (4, 64, 32, 96)
    assert size.context == 2048


@pytest.mark.parametrize(
    ("targets", "extra"),
    [
        ("all-linear", []),
        ("[q_proj, v_proj]", []),
        ("[layers.0.mlp.up_proj]", ["method.train_embeddings=true"]),
    ],
)
def test_trained_is_what_peft_trains(targets, extra, tmp_path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    path = tiny(tmp_path / "model")
    made = recipe(f"model.base={path}", "method.kind=lora", f"method.targets={targets}", *extra)
    method = made.method
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(path),
        LoraConfig(
            r=method.rank,
            target_modules=method.targets if method.targets == "all-linear" else [*method.targets],
            modules_to_save=["embed_tokens", "lm_head"] if method.train_embeddings else None,
            task_type="CAUSAL_LM",
        ),
    )
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert measure(made).trained == trained


def test_a_model_without_configuration_is_refused(tmp_path) -> None:
    with pytest.raises(ModelFilesError, match="config"):
        measure(recipe(f"model.base={tmp_path}"))


def test_targets_that_fit_no_layer_are_refused(tmp_path) -> None:
    path = tiny(tmp_path / "model")
    made = recipe(f"model.base={path}", "method.kind=lora", "method.targets=[query]")
    with pytest.raises(RecipeError, match="no linear layer 'query'; it has down_proj, gate_proj"):
        measure(made)


def kept(path: Any, made: Recipe, layers: int, rows: int, length: int) -> int:
    """Bytes that torch keeps for the backward pass, weights and their copies left out."""
    import torch
    from transformers import AutoModelForCausalLM

    from training.sft import attention

    attention.register()
    wide = getattr(torch, made.precision.weights)
    model = AutoModelForCausalLM.from_pretrained(
        path,
        num_hidden_layers=layers,
        dtype=wide,
        attn_implementation=made.model.attention,
    ).train()
    shapes = {shape for p in model.parameters() for shape in (p.shape, p.shape[::-1])}
    storages: dict[int, int] = {}
    alive = []

    def pack(tensor: Any) -> Any:
        if tensor.shape not in shapes:
            alive.append(tensor)
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    mask = torch.ones(rows, 1, length, length, dtype=torch.bool).tril()
    ids = torch.randint(0, 90, (rows, length))
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=made.precision.bf16),
    ):
        model.model(input_ids=ids, attention_mask=mask, use_cache=False)
    return sum(storages.values())


@pytest.mark.parametrize("attention", ["sdpa", "eager", "grouped"])
@pytest.mark.parametrize(
    ("weights", "bf16"), [("float32", True), ("float32", False), ("bfloat16", True)]
)
@pytest.mark.parametrize("key_heads", [2, 8])
def test_a_layer_keeps_what_torch_keeps(attention, weights, bf16, key_heads, tmp_path) -> None:
    path = tiny(
        tmp_path / "model",
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=key_heads,
        head_dim=32,
    )
    made = recipe(
        f"model.base={path}",
        f"model.attention={attention}",
        f"precision.weights={weights}",
        f"precision.bf16={str(bf16).lower()}",
    )
    rows, length = 2, 192
    one, two = (kept(path, made, layers, rows, length) for layers in (1, 2))
    counted = (two - one) / (rows * length)
    assert kept_by_layer(made, measure(made), length) == pytest.approx(counted, rel=0.2)


def test_the_sum_of_7b_in_full_is_known() -> None:
    """Weights, gradients and Adam's two moments in float32: sixteen bytes a weight."""
    found = estimate(recipe(), SIZE_7B, gpus(1, 80))
    state = found.gradients + found.optimizer
    assert state == SIZE_7B.parameters * 12
    assert found.weights == SIZE_7B.parameters * 4 + SIZE_7B.linear * 2
    assert found.total > 100 * GIB


def test_sharding_divides_state_and_not_activations() -> None:
    one, four = (estimate(recipe(), SIZE_7B, gpus(4, 80, n)) for n in (1, 4))
    assert four.optimizer == one.optimizer // 4
    assert four.gradients == one.gradients // 4
    assert four.activations == one.activations


def test_processes_on_a_cpu_share_its_memory() -> None:
    alone = estimate(recipe(), SIZE_7B, cpu(64))
    machine = Machine("cpu", "CPU", 1, 64 * GIB)
    assert estimate(recipe(), SIZE_7B, Setting(machine, 2)).total == 2 * alone.total


@pytest.mark.parametrize(
    "change",
    [
        "precision.gradient_checkpointing=true",
        "precision.weights=bfloat16",
        "optimisation.batch_sequences=1",
        "data.max_tokens=512",
        "optimisation.optimizer=adafactor",
        "optimisation.optimizer=adamw_8bit",
        "loss.full_text=false",
    ],
)
def test_what_is_said_to_save_memory_does(change: str) -> None:
    base = ["precision.gradient_checkpointing=false"]
    before = estimate(recipe(*base), SIZE_7B, cpu(64)).total
    assert estimate(recipe(*base, change), SIZE_7B, cpu(64)).total < before


def test_qlora_keeps_the_weights_in_half_a_byte() -> None:
    lora = ["precision.weights=bfloat16", "method.kind=lora"]
    small = ModelSize(**{f: getattr(SIZE_7B, f) for f in SIZE_7B.__slots__} | {"trained": 10**7})
    wide = estimate(recipe(*lora), small, gpus(1, 80)).weights
    narrow = estimate(recipe(*lora, "method.kind=qlora"), small, gpus(1, 80)).weights
    assert narrow < 0.35 * wide


def test_the_longest_sequence_counts_where_it_is_known() -> None:
    machine = Machine("cpu", "CPU", 1, None)
    unknown, short = (
        estimate(recipe(), SIZE_7B, Setting(machine, longest=n)).activations for n in (None, 200)
    )
    assert short < 0.2 * unknown


def test_a_refusal_says_how_much_is_missing_and_what_is_enough() -> None:
    with pytest.raises(ResourcesError) as raised:
        check(recipe(), SIZE_7B, gpus(4, 79))
    said = raised.value.message
    assert "each GPU has 79.0 GiB free" in said
    assert "--processes 4" in said
    assert "method.kind=lora" in said
    assert "--no-memory-check" in said


def test_a_batch_is_cut_no_further_than_it_has_to_be() -> None:
    made = recipe(
        "model.attention=sdpa",
        "data.max_tokens=1024",
        "pad_to_multiple_of=64",
        "optimisation.batch_sequences=64",
        "optimisation.gradient_accumulation=1",
        name="embedded-135m",
    )
    size = measure(made)
    with pytest.raises(ResourcesError) as raised:
        check(made, size, cpu(32))
    said = raised.value.message
    assert "optimisation.batch_sequences=16 optimisation.gradient_accumulation=4" in said


def test_a_hopeless_run_is_called_so() -> None:
    with pytest.raises(ResourcesError, match="take a smaller model or a larger machine"):
        check(recipe(), SIZE_7B, cpu(4))


@settings(max_examples=25, deadline=None)
@given(room=st.integers(1, 200), cuda=st.booleans(), checkpointing=st.booleans())
def test_what_is_called_enough_is_enough(room: int, cuda: bool, checkpointing: bool) -> None:
    on = f"precision.gradient_checkpointing={str(checkpointing).lower()}"
    setting = gpus(1, room) if cuda else cpu(room)
    try:
        check(recipe(on), SIZE_7B, setting)
    except ResourcesError as error:
        if "Enough would be" not in error.message:
            return
        first = error.message.partition("Enough would be ")[2].partition(". With")[0]
        overrides = first.split(", or ")[0].split(" ")
        changed = recipe(on, *overrides)
        trained = SIZE_7B.parameters if changed.method.kind == "full" else 40_000_000
        size = ModelSize(
            **{f: getattr(SIZE_7B, f) for f in SIZE_7B.__slots__} | {"trained": trained}
        )
        check(changed, size, setting)
