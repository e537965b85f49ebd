"""The files of a model's directory: what is taken, what is refused, and how a new one is written.

`inspect` says what a directory holds and refuses pickled weights. `copy_papers` takes the licences
along. `new_directory` gives a place to write in that becomes the real one at once or not at all;
`write_checksums` seals it.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from service.weights import CHECKSUMS_FILE, digest
from training import files
from training.errors import ModelFilesError, UsageError

REPORT_FILE = "export.json"

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

_INDEX = "model.safetensors.index.json"
_PICKLES = re.compile(
    r"(pytorch_model|adapter_model|model|consolidated)[\w.-]*\.(bin|pt|pth|pkl|ckpt)", re.IGNORECASE
)
_PAPERS = re.compile(r"(BASE-)?(LICEN[CS]E|NOTICE|COPYING|USE_POLICY)[\w.-]*", re.IGNORECASE)
_LARGEST_PAPER = 1_000_000


class Kind(StrEnum):
    """What a directory holds."""

    MODEL = "model"
    ADAPTER = "adapter"


def inspect(directory: Path) -> Kind:
    """Say what a directory holds, whole and in safetensors.

    Raises:
        ModelFilesError: it is no directory, holds neither model nor adapter, its weights are
            pickles, or a part of them is missing or lies outside.
    """
    if not directory.is_dir():
        raise ModelFilesError(f"{directory} is no directory: name one that holds a model.")
    adapter = (directory / ADAPTER_CONFIG).is_file()
    if not adapter and not (directory / "config.json").is_file():
        raise ModelFilesError(
            f"{directory} holds neither a model (config.json) nor an adapter ({ADAPTER_CONFIG})."
        )
    parts = [ADAPTER_WEIGHTS] if adapter else _parts(directory)
    pickles = sorted(path.name for path in directory.iterdir() if _PICKLES.fullmatch(path.name))
    missing = [name for name in parts if not (directory / name).is_file()]
    if missing and pickles:
        raise ModelFilesError(
            f"The weights in {directory} are pickles ({', '.join(pickles)}), which can run any "
            "code when they are loaded: they are refused. If you trust where they come from, "
            "convert them once, on a machine that holds nothing of worth: load them with "
            "`from_pretrained(DIRECTORY, weights_only=True)` of transformers or PEFT and write "
            "them with `save_pretrained(NEW_DIRECTORY)`, which writes safetensors."
        )
    if missing:
        raise ModelFilesError(f"{directory} is not whole: {', '.join(missing)} is missing.")
    return Kind.ADAPTER if adapter else Kind.MODEL


def _parts(directory: Path) -> list[str]:
    """Names of the files that hold a model's weights."""
    index = directory / _INDEX
    if not index.is_file():
        return ["model.safetensors"]
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFilesError(f"{index} cannot be read as an index of weights.") from error
    outside = [
        name
        for name in named
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors")
    ]
    if outside:
        raise ModelFilesError(
            f"{index} names weights that are no safetensors files beside it. Take the directory "
            "from where it was made once more."
        )
    return sorted(named)


def copy_papers(sources: Sequence[Path], target: Path, prefix: str = "") -> tuple[str, ...]:
    """Copy licences and notices; of two files of one name the first source's.

    Args:
        sources: directories to copy from.
        target: directory to copy to.
        prefix: put before the names, where they are those of other weights than the target's.

    Returns:
        The names.

    Raises:
        ModelFilesError: one lies outside of its directory, or is too large to be a licence.
    """
    names = []
    for source in sources:
        for path in sorted(source.iterdir()):
            name = path.name if path.name.startswith(prefix) else prefix + path.name
            if not _PAPERS.fullmatch(path.name) or (target / name).exists():
                continue
            file = inside(path)
            if file.stat().st_size > _LARGEST_PAPER:
                raise ModelFilesError(f"{path} is too large for a licence: take it out.")
            (target / name).write_bytes(file.read_bytes())
            names.append(name)
    return tuple(names)


def inside(path: Path) -> Path:
    """The file itself, where a link leads to one of the same directory or download cache.

    Raises:
        ModelFilesError: it leads elsewhere.
    """
    file = path.resolve()
    parent = path.parent.resolve()
    # In the download cache of Hugging Face a snapshot's files are links into the model's `blobs`.
    roots = [parent, *(p for p in parent.parents if p.name.startswith("models--"))]
    if not file.is_file() or not any(file.is_relative_to(root) for root in roots):
        raise ModelFilesError(
            f"{path} is a link that leads out of its directory: put the file itself there."
        )
    return file


def check_replaceable(directory: Path, *, replace: bool, report: str = REPORT_FILE) -> None:
    """See that a directory may be written.

    Args:
        directory: what is to be written.
        replace: whether what was written there before may be replaced.
        report: name of a file that only such a directory holds.

    Raises:
        UsageError: there is something that is not to be replaced.
    """
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    if not (directory / report).is_file():
        raise UsageError(
            f"{directory} holds something that this command did not write: name another --output."
        )
    if not replace:
        raise UsageError(f"{directory} was written before: add --replace, or name another.")


@contextlib.contextmanager
def new_directory(directory: Path) -> Iterator[Path]:
    """Give an empty directory that becomes `directory` when the block ends without an error.

    What an interrupted export left beside it is removed first. An old directory is replaced as
    the last step.

    Raises:
        ModelFilesError: it cannot be written.
    """
    directory = directory.absolute()
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        for path in directory.parent.glob(f".{directory.name}.*.part"):
            shutil.rmtree(path, ignore_errors=True)
        part = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}.part")
        part.mkdir()
        try:
            yield part
            _put_in_place(part, directory)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise ModelFilesError(
            f"{directory} cannot be written ({error.strerror or type(error).__name__}): free some "
            "space, or name another --output."
        ) from error


def _put_in_place(part: Path, directory: Path) -> None:
    if not directory.exists():
        part.rename(directory)
        return
    old = part.with_suffix(".old.part")
    directory.rename(old)
    try:
        part.rename(directory)
    except OSError:
        old.rename(directory)
        raise
    shutil.rmtree(old, ignore_errors=True)


def seal(directory: Path) -> None:
    """Make files readable to whom the directory is, refuse what must not be there, add checksums.

    Raises:
        ModelFilesError: there are pickles, or a file cannot be written.
    """
    # transformers writes weights for the owner only; others may run the service.
    mode = directory.stat().st_mode & 0o666
    for path in directory.iterdir():
        if re.search(r"\.(bin|pt|pth|pkl|ckpt|py)$", path.name, re.IGNORECASE):
            raise ModelFilesError(f"{path.name} was about to be exported: this is a fault here.")
        path.chmod(mode)
    write_checksums(directory)


def write_checksums(directory: Path) -> None:
    """Write `checksums.sha256` over all other files, in the form of `sha256sum --check`.

    Raises:
        ModelFilesError: a file cannot be read or written.
    """
    try:
        lines = [
            f"{digest(path)}  {path.name}\n"
            for path in sorted(directory.iterdir())
            if path.is_file() and path.name != CHECKSUMS_FILE and not path.name.startswith(".")
        ]
    except OSError as error:
        raise ModelFilesError(f"A file of {directory} cannot be read: {error.strerror}.") from error
    write_text(directory / CHECKSUMS_FILE, "".join(lines))


def write_text(path: Path, text: str) -> None:
    """Write a file in place of one that is there; a reader sees one of them whole.

    Raises:
        ModelFilesError: it cannot be written.
    """
    files.write_text(path, text, ModelFilesError)
