"""Puts everything of ours on an app: routes, OpenAPI document, documentation page, gate."""

from __future__ import annotations

from fastapi import FastAPI

from service.api import analyze, catalogue, decisions, health
from service.api.docs import add_docs
from service.api.document import build_document
from service.gate import Gate
from service.settings import Settings, load_settings


def attach(app: FastAPI, settings: Settings | None = None) -> None:
    """Add our routes, the OpenAPI document and the gate to an app that has not started.

    Args:
        app: vLLM's, or a bare one.
        settings: the deployment's; None reads them from the environment.

    Raises:
        InvalidSettingsError: the environment holds a wrong setting.
    """
    for module in (analyze, catalogue, health):
        app.include_router(module.router)
    # Before all others: from 0.33 on vLLM registers this path too, and refuses most models on it.
    app.router.routes[:0] = decisions.router.routes
    app.openapi = build_document  # type: ignore[method-assign]
    add_docs(app)
    app.add_middleware(Gate, settings=settings or load_settings())
