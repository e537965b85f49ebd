"""The report of an export: the form of `export.json`, beside the weights.

No field holds any of a post, nor where anything lay on a machine. The descriptions here are the
file's documentation.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.export.checks import Check
from training.export.files import Kind
from training.export.fold import FoldReport
from training.export.quantize import Quantization


class Way(StrEnum):
    """What was done to the weights."""

    COPIED = "copied"
    MERGED = "merged"
    FOLDED = "folded"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CheckReport(_Entry):
    """Whether the exported model says what the trained one said."""

    posts: str = Field(description="Where the posts came from.")
    max_changed: float = Field(description="The share of changed labels that was allowed.")
    passed: bool
    found: Check


class ExportReport(_Entry):
    """All that an export did."""

    schema_version: Literal[1] = 1
    created: str = Field(description="When, in UTC, ISO 8601.")
    model: str = Field(description="Name of the model in its manifest.")
    kind: Kind = Field(description="What the directory holds.")
    way: Way
    dtype: str = Field(description="Type of the weights that were not quantized.")
    quantization: Quantization
    rounding: Literal["nearest", "gptq"] | None = Field(
        default=None, description="How quantized weights were rounded; null where none were."
    )
    source: str = Field(description="SHA-256 over the weights that were exported.")
    base: str | None = Field(
        default=None, description="SHA-256 over the base model's weights, if one was used."
    )
    fold: FoldReport | None = Field(default=None, description="What a fold kept.")
    check: CheckReport | None = Field(default=None, description="Null where it was left out.")
    manifest_changes: tuple[str, ...] = Field(
        default=(), description="What of the trained model's manifest does not hold any more."
    )
