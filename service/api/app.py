"""Puts all of ours on an app: routes, OpenAPI document, documentation page, lifecycle, gate."""

from __future__ import annotations

from fastapi import FastAPI

from service.api import analyze, catalogue, decisions, health
from service.api.docs import add_docs
from service.api.document import build_document
from service.api.playground import add_playground
from service.gate import Gate
from service.lifespan import add_lifespan
from service.settings import Settings, load_settings


def attach(app: FastAPI, settings: Settings | None = None) -> None:
    """Add our routes, document, lifecycle and gate to an app that has not started.

    Args:
        app: vLLM's, or a bare one.
        settings: the deployment's; None reads them from the environment.

    Raises:
        InvalidSettingsError: the environment holds a wrong setting.
    """
    settings = settings or load_settings()
    # vLLM's own, which says 200 while the server drains; the first of two routes would answer.
    theirs = [route for route in app.router.routes if getattr(route, "path", None) == "/health"]
    for route in theirs:
        app.router.routes.remove(route)
    for module in (analyze, catalogue, health):
        app.include_router(module.router)
    # Before all others: from 0.33 on vLLM registers this path too, and refuses most models on it.
    app.router.routes[:0] = decisions.router.routes
    app.openapi = build_document  # type: ignore[method-assign]
    add_docs(app)
    if settings.playground:
        add_playground(app)
    add_lifespan(app, settings)
    app.add_middleware(Gate, settings=settings)
