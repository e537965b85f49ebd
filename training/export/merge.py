"""Models as they are loaded and written: trained ones, merged ones, exported ones.

Everything is loaded in float32 and from safetensors alone, merged there, and rounded once, when it
is written. Nothing is fetched from a network and no code of a model's directory is run.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.errors import ModelError
from service.models import resolve_model
from training.errors import ModelFilesError, UsageError
from training.export.files import ADAPTER_CONFIG, Kind, inside, inspect

_TOKENIZER = re.compile(
    r"tokenizer[\w.-]*\.(json|model)|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)"
    r"|merges\.txt|spiece\.model|chat_template[\w.-]*\.(jinja|json)"
)


def find_base(adapter: Path | None, named: str | None) -> Path:
    """Directory of the base model.

    Args:
        adapter: an adapter whose settings may name it.
        named: what `--base` says: `embedded-base`, or a directory.

    Raises:
        UsageError: neither says where it is on this machine.
        ModelFilesError: it is not whole, or not in safetensors.
    """
    name = named
    if name is None and adapter is not None:
        config = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        name = config.get("base_model_name_or_path")
    if not name:
        raise UsageError("Name the base model with --base: a directory, or `embedded-base`.")
    try:
        path = Path(resolve_model(name).path)
    except ModelError as error:
        raise UsageError(f"{error.message} Name the base model with --base.") from error
    if not path.is_dir():
        raise UsageError(
            f"The base model {name!r} is not on this machine: get it (`hf download {name}`) and "
            "name its directory with --base."
        )
    if inspect(path) is not Kind.MODEL:
        raise UsageError(f"The base {path} is an adapter: name the model that it was made for.")
    return path


def load_model(directory: Path) -> Any:
    """Load a causal language model in float32, from safetensors.

    Raises:
        ModelFilesError: transformers cannot load it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(
                directory, dtype=torch.float32, local_files_only=True, use_safetensors=True
            )
    except Exception as error:
        raise ModelFilesError(
            f"transformers cannot load the model in {directory} ({type(error).__name__}): see "
            "that it is whole and of an architecture that transformers knows."
        ) from error
    return model.eval()


def load_tokenizer(directory: Path) -> Any:
    """Load the tokenizer of a model's directory.

    Raises:
        ModelFilesError: there is none that transformers can load.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except Exception as error:
        raise ModelFilesError(
            f"There is no usable tokenizer in {directory} ({type(error).__name__}): put the "
            "tokenizer files of the model there."
        ) from error


def with_adapter(model: Any, adapter: Path) -> Any:
    """The model with a LoRA adapter beside its weights, as PEFT runs it.

    Raises:
        ModelFilesError: the adapter is not one of this model.
    """
    from peft import PeftModel

    try:
        with quiet():
            return PeftModel.from_pretrained(model, adapter, local_files_only=True).eval()
    except Exception as error:
        raise ModelFilesError(
            f"The adapter in {adapter} does not fit its base model ({type(error).__name__}): name "
            "the model that it was trained on with --base."
        ) from error


def merged(model: Any) -> Any:
    """A model of `with_adapter` with the adapter in its weights."""
    with quiet():
        return model.merge_and_unload(safe_merge=True)


def save_model(model: Any, directory: Path, dtype: str) -> None:
    """Write weights, config and generation config, rounded to a type of torch by its name.

    Raises:
        ModelFilesError: a weight is not a finite number.
    """
    import torch

    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise ModelFilesError(
                f"{name} holds numbers that are not finite: the training went wrong. Take an "
                "earlier checkpoint, or train with a lower learning rate."
            )
    with quiet():
        model.to(getattr(torch, dtype)).save_pretrained(directory)
    clean_config(directory)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files as they are.

    Raises:
        ModelFilesError: there are none, or one lies outside of its directory.
    """
    names = [path for path in sorted(source.iterdir()) if _TOKENIZER.fullmatch(path.name)]
    if not names:
        raise ModelFilesError(f"There is no tokenizer in {source}.")
    for path in names:
        shutil.copyfile(inside(path), target / path.name)


def clean_config(directory: Path) -> None:
    """Take out of `config.json` where the model lay on this machine."""
    path = directory / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for name in ("_name_or_path", "_model_name_or_path"):
        values.pop(name, None)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' warnings and progress bars off the terminal."""
    import warnings

    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
