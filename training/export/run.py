"""An export from start to end.

What a training wrote goes in: a whole model or a LoRA adapter. A directory that can be given away
comes out: weights in safetensors (merged, folded into an adapter, quantized, or as they were),
manifest, card, licences, `export.json` and checksums. It is written beside its place and moved
there when it is whole and has been checked: the exported model must say what the trained one said.
An export that says something else is kept as `OUTPUT.rejected`, to be looked at.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.adapter import Adapter
from service.analysis.manifest import (
    Manifest,
    assumed_manifest,
    load_manifest,
    write_manifest,
)
from service.models import local_manifest
from service.weights import digest
from training.errors import ModelFilesError, UsageError
from training.export import adapter as adapters
from training.export import merge
from training.export.card import write_card
from training.export.checks import compare, read_all
from training.export.files import (
    REPORT_FILE,
    Kind,
    check_replaceable,
    copy_papers,
    inspect,
    new_directory,
    seal,
    write_checksums,
    write_text,
)
from training.export.fold import FoldReport, Limit, fold
from training.export.quantize import Quantization, group_size, quantize_gptq, quantize_nearest
from training.export.report import CheckReport, ExportReport, Way
from training.export.samples import Samples, as_strings, as_tokens, samples

Announce = Callable[[str], None]
"""Takes one line that says what is being done."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Export:
    """What is to be exported, and how.

    Attributes:
        model: directory of a model, or of an adapter.
        output: directory to write.
        adapter: an adapter on `model`, which then is its base; None where there is none.
        base: `--base`: a directory or `embedded-base`; what an adapter was trained on, or what a
            fold is made against.
        fold: how large the adapter may be that the model is folded into; None for no fold.
        keep_adapter: write an adapter as an adapter, not merged.
        quantization: bits of the weights.
        quantize_python: interpreter of an environment with llm-compressor; None for rounding to
            the nearest value.
        data: prepared data, for the check and the fold; None for the self-written posts.
        posts: how many of its posts are read.
        weighted: whether the fold is weighed with the inputs on training texts; needs `data`.
        dtype: type of weights that are not quantized, by torch's name.
        name: another name for the model; None for that of its manifest.
        max_changed: the largest share of labels that may change, from 0 to 1.
        check: whether labels are compared.
        replace: whether an earlier export may be replaced.
    """

    model: Path
    output: Path
    adapter: Path | None = None
    base: str | None = None
    fold: Limit | None = None
    keep_adapter: bool = False
    quantization: Quantization = Quantization.NONE
    quantize_python: Path | None = None
    data: Path | None = None
    posts: int = 64
    weighted: bool = False
    dtype: str = "bfloat16"
    name: str | None = None
    max_changed: float = 0.02
    check: bool = True
    replace: bool = False


@dataclass(frozen=True, slots=True)
class _Source:
    """What an export starts from.

    Attributes:
        model: directory of a whole model: the trained one, or the adapter's base.
        adapter: the trained adapter, or None.
        base: the base of a fold, or None.
    """

    model: Path
    adapter: Path | None
    base: Path | None

    @property
    def trained(self) -> Path:
        """Directory that the training wrote."""
        return self.adapter or self.model

    def load(self, *, merged: bool = False) -> Any:
        """The trained model, in float32; an adapter is beside the weights, or `merged` into them.

        A folded adapter always is: it was never trained as one, and stands for the model that it is
        merged into, where a tied output layer changes with the embedding.
        """
        model = merge.load_model(self.model)
        if self.adapter is None:
            return model
        model = merge.with_adapter(model, self.adapter)
        return merge.merged(model) if merged or _is_folded(self.adapter) else model


def _is_folded(adapter: Path) -> bool:
    try:
        report = ExportReport.model_validate_json((adapter / REPORT_FILE).read_bytes())
    except (OSError, ValidationError):
        return False
    return report.way is Way.FOLDED


def export(
    wanted: Export,
    announce: Announce,
    progress: Progress = lambda what, done, total: None,
) -> ExportReport:
    """Export a model.

    Args:
        wanted: what to export, and how.
        announce: told what begins.
        progress: told how far long work is.

    Raises:
        UsageError: options that do not go together, a base that is not found, a directory that is
            not to be replaced.
        ModelFilesError: weights that are refused or cannot be written, or an exported model that
            says something else than the trained one.
        DataError: the data cannot be read.
        ResourcesError: not enough memory to quantize.
    """
    source = _source(wanted)
    check_replaceable(wanted.output, replace=wanted.replace)
    manifest, changes = _manifest(wanted, source)
    texts = samples(wanted.data, manifest, wanted.posts)
    if wanted.weighted and not texts.given:
        raise UsageError("--weighted needs --data: the fold is weighed with training texts.")
    with new_directory(wanted.output) as part:
        folded = _write(wanted, source, manifest, texts, part, announce, progress)
        copy_papers([source.trained], part)
        under = [path for path in (source.model, source.base) if path]
        copy_papers(under, part, "BASE-" if wanted.fold or wanted.keep_adapter else "")
        write_manifest(part, manifest)
        write_card(part, manifest)
        write_checksums(part)
        check = None
        if wanted.check:
            check = _check(wanted, source, manifest, texts, part, announce, progress)
        report = _report(wanted, source, manifest, folded, check, changes)
        text = report.model_dump_json(indent=2)
        write_text(part / REPORT_FILE, f"{text}\n")
        seal(part)
        if check and not check.passed:
            _reject(part, wanted, check)
    return report


def _source(wanted: Export) -> _Source:
    """Find everything that the export starts from, and see that it goes together."""
    kind = inspect(wanted.model)
    adapter = wanted.model if kind is Kind.ADAPTER else wanted.adapter
    if kind is Kind.ADAPTER and wanted.adapter:
        raise UsageError("--adapter goes with a whole model, and MODEL is an adapter itself.")
    if adapter and inspect(adapter) is not Kind.ADAPTER:
        raise UsageError(f"{adapter} is no adapter.")
    if wanted.fold and (adapter or wanted.quantization is not Quantization.NONE):
        raise UsageError("A fold takes a whole model, and its adapter is not quantized.")
    if wanted.keep_adapter and (adapter is None or wanted.quantization is not Quantization.NONE):
        raise UsageError("--keep-adapter needs an adapter, and does not quantize it.")
    if wanted.quantize_python and wanted.quantization is Quantization.NONE:
        raise UsageError("--quantize-python needs --quantize int8 or int4.")
    if wanted.fold:
        return _Source(wanted.model, None, merge.find_base(None, wanted.base))
    if adapter is wanted.model:
        return _Source(merge.find_base(adapter, wanted.base), adapter, None)
    return _Source(wanted.model, adapter, None)


def _manifest(wanted: Export, source: _Source) -> tuple[Manifest, tuple[str, ...]]:
    """The exported model's manifest, and what of the trained one's does not hold any more."""
    under = local_manifest(source.base or source.model)
    held = load_manifest(source.trained)
    if held is None:
        # What is assumed of a model without a manifest says so in its notes, which ends here.
        style = local_manifest(source.model).prompt_style
        held = assumed_manifest(source.trained.absolute().name, has_chat_template=True)
        held = held.model_copy(update={"prompt_style": style, "notes": ""})
    if source.base or source.adapter:
        base = held.base_model or under.base_model or under.name
        held = held.model_copy(
            update={"base_model": base, "licence": held.licence or under.licence}
        )
    changes = []
    if wanted.fold or wanted.quantization is not Quantization.NONE:
        # They were measured on weights that are not these.
        if held.results:
            changes.append("The results are left out: measure the exported model.")
            held = held.model_copy(update={"results": ()})
        if held.calibration:
            changes.append("The calibration was fitted before the export: calibrate again.")
    return held.model_copy(update={"name": wanted.name} if wanted.name else {}), tuple(changes)


def _write(
    wanted: Export,
    source: _Source,
    manifest: Manifest,
    texts: Samples,
    part: Path,
    announce: Announce,
    progress: Progress,
) -> FoldReport | None:
    """Write the weights and all that is needed to load them."""
    if wanted.fold and source.base:
        moments = None
        if wanted.weighted:
            announce(f"Weighing with {len(texts.texts)} training texts …")
            moments = _moments(source, manifest, texts)
        announce("Folding the training into an adapter …")
        return fold(
            source.base,
            source.model,
            part,
            wanted.fold,
            base_name=manifest.base_model,
            moments=moments,
            progress=lambda done, total: progress("Matrices", done, total),
        )
    if wanted.keep_adapter and source.adapter:
        announce("Writing the adapter …")
        adapters.copy_adapter(source.adapter, part, manifest.base_model)
        return None
    announce("Merging the adapter …" if source.adapter else "Loading the trained model …")
    model = source.load(merged=True)
    if wanted.quantization is Quantization.NONE:
        announce("Writing the weights …")
        merge.save_model(model, part, wanted.dtype)
    else:
        announce(f"Quantizing to {wanted.quantization} …")
        _quantize(wanted, source, model, texts, part)
    merge.copy_tokenizer(_tokenizer(source), part)
    return None


def _tokenizer(source: _Source) -> Path:
    """Directory of the tokenizer: the training's own, where it wrote one."""
    adapter = source.adapter
    return adapter if adapter and (adapter / "tokenizer_config.json").is_file() else source.model


def _moments(source: _Source, manifest: Manifest, texts: Samples) -> Any:
    from training.export.moments import collect_moments

    tokens = as_tokens(texts.texts, merge.load_tokenizer(source.model), manifest)
    return collect_moments(merge.load_model(source.model), tokens)


def _quantize(wanted: Export, source: _Source, model: Any, texts: Samples, part: Path) -> None:
    if wanted.quantize_python is None:
        quantize_nearest(model, part, wanted.quantization)
    else:
        group = group_size(model) if wanted.quantization is Quantization.INT4 else None
        whole = part / "whole"
        whole.mkdir()
        merge.save_model(model, whole, wanted.dtype)
        merge.copy_tokenizer(_tokenizer(source), whole)
        quantize_gptq(
            whole,
            part,
            wanted.quantization,
            python=wanted.quantize_python,
            texts=as_strings(texts.texts),
            group=group,
        )
        shutil.rmtree(whole)
    merge.clean_config(part)


def _check(
    wanted: Export,
    source: _Source,
    manifest: Manifest,
    texts: Samples,
    part: Path,
    announce: Announce,
    progress: Progress,
) -> CheckReport:
    """Read labels with both models, one after the other, and compare."""
    asked = texts.asked
    tokenizer = merge.load_tokenizer(_tokenizer(source))
    announce(f"Reading {len(asked)} labels with the trained model …")
    trained = source.load()
    before = read_all(trained, tokenizer, manifest, asked, partial(progress, "Trained model"))
    del trained  # two models may be more than fits
    announce("Reading them with the exported model …")
    exported = _exported(wanted, source, part)
    with merge.quiet():  # quantized weights are unpacked on their first use, with a bar
        read_all(exported, tokenizer, manifest, asked[:1])
    after = read_all(exported, tokenizer, manifest, asked, partial(progress, "Exported model"))
    found = compare(asked, before, after)
    return CheckReport(
        posts=texts.source,
        max_changed=wanted.max_changed,
        passed=found.share_changed <= wanted.max_changed,
        found=found,
    )


def _exported(wanted: Export, source: _Source, part: Path) -> Any:
    """The exported model as it is served, but computed in float32."""
    import torch

    if not (wanted.fold or wanted.keep_adapter):
        return merge.load_model(part)
    model = merge.load_model(source.base or source.model)
    Adapter.load(part).merge_into(model)
    return model.to(torch.bfloat16).float()


def _reject(part: Path, wanted: Export, check: CheckReport) -> None:
    rejected = wanted.output.with_name(f"{wanted.output.name}.rejected")
    shutil.rmtree(rejected, ignore_errors=True)
    part.rename(rejected)
    found = check.found
    raise ModelFilesError(
        f"The exported model gives another label than the trained one on {found.changed} of "
        f"{found.reads} reads ({found.share_changed:.1%}; allowed: {check.max_changed:.1%}). It is "
        f"kept as {rejected}, with the report in {REPORT_FILE}. Take a larger rank or more bits, "
        "or allow more with --max-changed."
    )


def _report(
    wanted: Export,
    source: _Source,
    manifest: Manifest,
    folded: FoldReport | None,
    check: CheckReport | None,
    changes: tuple[str, ...],
) -> ExportReport:
    adapter = wanted.fold is not None or wanted.keep_adapter
    way = Way.FOLDED if wanted.fold else Way.COPIED
    if source.adapter and not wanted.keep_adapter:
        way = Way.MERGED
    rounding = None
    if wanted.quantization is not Quantization.NONE:
        rounding = "gptq" if wanted.quantize_python else "nearest"
    under = source.base or (source.model if source.adapter else None)
    return ExportReport(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=manifest.name,
        kind=Kind.ADAPTER if adapter else Kind.MODEL,
        way=way,
        dtype="bfloat16" if adapter else wanted.dtype,
        quantization=wanted.quantization,
        rounding=rounding,
        source=_digest(source.trained),
        base=_digest(under) if under else None,
        fold=folded,
        check=check,
        manifest_changes=changes,
    )


def _digest(directory: Path) -> str:
    """SHA-256 over a directory's weights."""
    lines = [f"{digest(path)}  {path.name}\n" for path in sorted(directory.glob("*.safetensors"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
