"""What is known of a processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from service import processor

ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


@pytest.mark.parametrize(
    ("text", "flags", "lacks"),
    [
        ("flags\t\t: fma avx2\n", {"fma", "avx2"}, True),
        ("model name\t: X\nflags\t\t: avx512f\nflags\t\t: avx512f\n", {"avx512f"}, True),
        ("flags\t\t: avx512f avx512_bf16\n", {"avx512f", "avx512_bf16"}, False),
        ("flags\t\t: amx_bf16\n", {"amx_bf16"}, False),
        (ARM, set(), False),
        ("", set(), False),
    ],
)
def test_what_linux_says_of_it(monkeypatch, text: str, flags: set[str], lacks: bool) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert processor.flags() == flags
    assert processor.lacks_bfloat16() is lacks


@pytest.mark.parametrize(
    ("vendor", "flags", "prefers"),
    [
        ("GenuineIntel", "avx512f avx512_bf16", True),
        ("GenuineIntel", "avx512f avx512_bf16 amx_tile amx_bf16", False),
        ("GenuineIntel", "avx2", True),
        ("AuthenticAMD", "avx512f avx512_bf16", False),
        ("AuthenticAMD", "avx2", True),
    ],
)
def test_float32_is_faster_without_bfloat16_and_on_intel_without_amx(
    monkeypatch, vendor: str, flags: str, prefers: bool
) -> None:
    text = f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert processor.prefers_float32() is prefers


def test_a_processor_of_which_nothing_is_told_is_left_as_it_is(monkeypatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: ARM)
    assert not processor.prefers_float32()


def test_nothing_is_known_without_the_file(monkeypatch) -> None:
    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert processor.flags() == frozenset()
    assert not processor.lacks_bfloat16()
