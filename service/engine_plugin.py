"""The vLLM general plugin: what this project changes inside of the engine's processes.

vLLM loads it in every process of the engine before the model. Each change is a module of its own
that says what it changes and why, and does nothing where it does not apply.
"""

from __future__ import annotations


def register() -> None:
    """Make all changes; a second call changes nothing."""
    from service import (
        eager_ranks,
        float_head,
        fused_layers,
        interruptions,
        logs,
        mixed_logprobs,
        orphans,
        short_blocks,
    )

    logs.keep_grammars_out()
    interruptions.register()
    orphans.register()
    float_head.register()
    fused_layers.register()
    short_blocks.register()
    mixed_logprobs.register()
    eager_ranks.register()
