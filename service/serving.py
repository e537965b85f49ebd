"""Making an Analyzer on a running vLLM engine, for the server's plugin and for `service.local`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service import embedded, processor
from service.adapter import shipped_adapter
from service.analysis.analyzer import Analyzer
from service.analysis.manifest import assumed_manifest, load_manifest
from service.analysis.quotation import BACKEND, understands
from service.analysis.types import DecisionPolicy
from service.analysis.vllm_engine import VllmEngine
from service.baseline import load_baseline
from service.errors import ModelError
from service.failures import logger
from service.launch import MODEL_VARIABLE
from service.metrics import export_baseline

if TYPE_CHECKING:
    from vllm.engine.protocol import EngineClient
    from vllm.lora.request import LoRARequest


async def make_analyzer(
    client: EngineClient,
    adapters: Mapping[str, LoRARequest] | None = None,
    policy: DecisionPolicy | None = None,
) -> Analyzer:
    """Make a warm Analyzer on a running engine.

    Raises:
        ModelError: the model cannot be analysed with: no Hugging Face tokenizer, a broken manifest,
            labels that cannot be told apart.
    """
    configuration = client.model_config
    tokenizer = client.renderer.get_tokenizer()
    if not callable(tokenizer) or not hasattr(tokenizer, "all_special_ids"):
        raise ModelError(
            f"The tokenizer is a {type(tokenizer).__name__}; the analysis needs a Hugging Face "
            "tokenizer. Serve the model with --tokenizer-mode hf."
        )
    _say_if_slow(client)
    name = os.environ.get(MODEL_VARIABLE) or str(configuration.model)
    manifest = load_manifest(Path(configuration.model)) or assumed_manifest(
        str(configuration.model), bool(tokenizer.chat_template)
    )
    engine = VllmEngine(client, adapters, grammars=_grammars(client, tokenizer))
    analyzer = Analyzer(engine, tokenizer, manifest, name, policy)
    await analyzer.warm()
    return analyzer


def show_baseline(client: EngineClient, named: Path | None) -> None:
    """Show the stored baseline of labels and confidence as metrics, where there is one.

    Args:
        client: the engine, whose model's directory may hold it.
        named: the file that the deployment names.

    Raises:
        ModelError: the file cannot be read or is no baseline.
    """
    shipped = os.environ.get(MODEL_VARIABLE) == embedded.NAME
    directories = Path(client.model_config.model), shipped_adapter(embedded.NAME)
    if baseline := load_baseline(named, *directories[: 1 + shipped]):
        export_baseline(baseline)


def _say_if_slow(client: EngineClient) -> None:
    """Warn of a model in bfloat16 or half on a CPU that has no products of them."""
    from vllm.platforms import current_platform

    dtype = str(client.model_config.dtype).removeprefix("torch.")
    slow = current_platform.is_cpu() and processor.lacks_bfloat16()
    if slow and dtype != "float32" and not client.model_config.quantization:
        logger.warning(
            "This processor has no instructions for %s: with --dtype float32 the model is several "
            "times as fast, and its weights take twice the memory.",
            dtype,
        )


def _grammars(client: EngineClient, tokenizer: Any) -> bool:
    """Whether explanations can be kept to the post's words where they quote; warns where not."""
    if client.vllm_config.structured_outputs_config.backend != BACKEND:
        logger.warning(
            "vLLM's structured-outputs backend is not %s: explanations may quote what the post "
            "does not say, and use clinical words. Leave --structured-outputs-config out, or set "
            "its backend to %s.",
            BACKEND,
            BACKEND,
        )
        return False
    if not understands(tokenizer):
        logger.warning(
            "llguidance cannot read the model's tokenizer (%s): explanations may quote what the "
            "post does not say.",
            type(tokenizer).__name__,
        )
        return False
    return True
