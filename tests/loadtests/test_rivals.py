"""The rivals: what is asked of them, what they lack, and what is scaled on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.absent import AbsentError, need
from loadtests.encoder import BERT_BASE, Encoder, EncoderShape, scaled
from loadtests.llama_cpp_server import llama_cpp
from loadtests.rivals import spread
from loadtests.workload import Item
from service.models import ResolvedModel

MINILM = EncoderShape(layers=6, hidden=384, inner=1536)


def test_what_is_missing_is_named_with_what_installs_it() -> None:
    need("json")
    with pytest.raises(AbsentError, match=r"no_such_thing not installed; run .*bench\.txt"):
        need("json", "no_such_thing")


def test_an_encoder_without_its_package_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtests.encoder.PACKAGE", "no_such_thing")
    with pytest.raises(AbsentError, match="no_such_thing"):
        Encoder(tmp_path, "float32")


async def test_only_the_embedded_model_is_written_for_llama_cpp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtests.llama_cpp_server.need", lambda *_: None)
    with pytest.raises(AbsentError, match="embedded"):
        async with llama_cpp(ResolvedModel("org/name", "name", embedded=False), tmp_path):
            pass


def test_an_encoders_operations_are_twice_its_weights_and_what_tokens_see() -> None:
    # BERT-base without its embeddings has 85.1 million weights, biases and norms included.
    one = BERT_BASE.operations(1)
    assert one == pytest.approx(2 * 85.05e6, rel=0.002)
    assert BERT_BASE.operations(100) - 100 * one == 12 * 4 * 768 * (100**2 - 100)


def test_a_larger_encoder_is_slower_by_its_operations() -> None:
    posts = [100, 200]
    rate = scaled(80.0, posts, MINILM, BERT_BASE)
    assert rate == pytest.approx(80 / 8, rel=0.05)  # twice the layers of twice the width
    assert scaled(80.0, posts, MINILM, MINILM) == 80.0


def test_a_part_of_the_posts_is_as_long_as_all() -> None:
    items = [Item("", "", tokens) for tokens in (5, 900, 10, 300, 20, 100, 40, 60)]
    few = spread(items, 4)
    assert len(few) == 4
    assert sorted(item.tokens for item in few) == [10, 40, 100, 900]
    assert [items.index(one) for one in few] == sorted(items.index(one) for one in few)
    assert spread(items, 8) == items
