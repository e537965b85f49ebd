"""What a model's files must be before an engine reads them: whole, and nothing that runs code.

`check_directory` looks at a local model on the way to an engine: its files are those that its
`checksums.sha256` names, where it has one, and its weights are safetensors. `refuse_code` looks at
vLLM's parsed options, whether they came from the command line or a file of options. Of a model on a
hub, vLLM is asked for safetensors alone (`service.launch`), and what comes is as good as the hub.
"""

from __future__ import annotations

import hashlib
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

from service.errors import InvalidRequestError, ModelError

CHECKSUMS_FILE = "checksums.sha256"

SAFETENSORS = "safetensors"
"""vLLM's load format that reads nothing else."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
# `auto` and `hf` take pickled weights where there are no others.
_FORMATS_WITH_PICKLES = frozenset({"auto", "hf", "npcache", "pt"})


def read_checksums(directory: Path) -> Mapping[str, str]:
    """Read `checksums.sha256`, as sha256sum writes it: name to digest.

    Raises:
        OSError: it is missing or cannot be read.
        UnicodeDecodeError: it is no text.
    """
    lines = (directory / CHECKSUMS_FILE).read_text(encoding="utf-8").splitlines()
    # The digest, a space, a space or a star, the name.
    return {line[66:]: line[:64] for line in lines if line.strip()}


def digest(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_directory(directory: Path) -> None:
    """Check a local model before it is loaded; with checksums every byte of it is read.

    Args:
        directory: its directory; anything else (what stands for an id on a hub) passes.

    Raises:
        ModelError: a file is missing or not what `checksums.sha256` says, weights lie beside those
            that it names, or there are only pickled weights.
    """
    if not directory.is_dir():
        return
    weights = [path.name for path in directory.glob("*.safetensors")]
    pickled = sorted(path.name for kind in _PICKLES for path in directory.glob(kind))
    if pickled and not weights:
        raise ModelError(
            f"The weights in {directory} are pickled ({pickled[0]}), and loading a pickle can run "
            "code: convert them to safetensors (`save_pretrained` of transformers writes them)."
        )
    if (directory / CHECKSUMS_FILE).exists():
        _check_checksums(directory, weights)


def _check_checksums(directory: Path, weights: Iterable[str]) -> None:
    try:
        expected = read_checksums(directory)
        for name, wanted in expected.items():
            if Path(name).name != name:
                raise _damaged(directory, "it names a file outside the directory")
            if digest(directory / name) != wanted:
                raise _damaged(directory, f"{name} has another checksum")
    except FileNotFoundError as error:
        raise _damaged(directory, f"{Path(error.filename).name} is missing") from None
    except (OSError, UnicodeDecodeError):
        raise _damaged(directory, "a file cannot be read") from None
    if unnamed := sorted(set(weights) - expected.keys()):
        raise _damaged(directory, f"it does not name {unnamed[0]}")


def refuse_code(parsed: Namespace, model: str) -> None:
    """Refuse options of vLLM by which loading a model would run code that came with it.

    Args:
        parsed: vLLM's options.
        model: what is served: a directory, an id on a hub, or a URL.

    Raises:
        InvalidRequestError: `--trust-remote-code`, or a load format that takes pickled weights.
    """
    if getattr(parsed, "trust_remote_code", False):
        raise InvalidRequestError(
            "--trust-remote-code runs code that comes with a model, and is refused: take a model "
            "of an architecture that vLLM knows."
        )
    chosen = str(getattr(parsed, "load_format", SAFETENSORS))
    # From a URL vLLM streams safetensors by a format of its own, which it chooses under `auto`.
    if chosen in _FORMATS_WITH_PICKLES and not (chosen == "auto" and "://" in model):
        raise InvalidRequestError(
            f"--load-format {chosen} can load pickled weights, which can run code, and is refused: "
            f"leave it out, which means {SAFETENSORS}."
        )


def _damaged(directory: Path, why: str) -> ModelError:
    return ModelError(
        f"The model in {directory} is not what its {CHECKSUMS_FILE} says ({why}): get the "
        f"directory again. If it was changed on purpose, make {CHECKSUMS_FILE} again with "
        "sha256sum, or remove it."
    )
