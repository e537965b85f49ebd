"""GPTQ with llm-compressor: a program of its own, run by the interpreter that has that package.

It imports nothing of this project, since that environment does not have it:

    python compressor.py MODEL OUTPUT int8|int4 TEXTS GROUP

TEXTS is a JSON file with a list of strings. Exit codes: 0 done, `NOT_INSTALLED`, else failed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

NOT_INSTALLED = 3
"""llm-compressor is not installed."""

_LONGEST = 2048


def main(model: str, output: str, bits: str, texts: str, group: str) -> int:
    """Quantize a model's linear layers but the output layer; returns the exit code."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from datasets import Dataset
        from llmcompressor import oneshot
        from llmcompressor.modifiers.gptq import GPTQModifier
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        return NOT_INSTALLED

    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = [
        tokenizer(text, truncation=True, max_length=_LONGEST)
        for text in json.loads(Path(texts).read_text(encoding="utf-8"))
    ]
    columns = ("input_ids", "attention_mask")
    data = Dataset.from_list([{name: row[name] for name in columns} for row in rows])
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group"}
    weights["group_size"] = int(group)
    activations = None
    if bits == "int8":
        weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
        activations = {"num_bits": 8, "type": "int", "symmetric": True}
        activations |= {"strategy": "token", "dynamic": True}
    scheme = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype="auto")
    oneshot(
        model=loaded,
        dataset=data,
        recipe=GPTQModifier(config_groups={"group_0": scheme}, ignore=["lm_head"]),
        max_seq_length=_LONGEST,
        num_calibration_samples=len(rows),
    )
    loaded.save_pretrained(output, save_compressed=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
