"""`GET /docs`: Swagger UI on our document, with nothing loaded from another host.

The scripts and styles are those that vLLM ships and serves under /static when it is started with
`--enable-offline-docs`, as `mentalllama serve` does. vLLM's own page would do but for its icon,
which comes from elsewhere.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_TITLE = "MentalLLaMA"
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:"
)


async def docs(_: Request) -> HTMLResponse:
    """The page. Its links are relative, so that it works behind any prefix."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=_TITLE,
        swagger_js_url="static/swagger-ui-bundle.js",
        swagger_css_url="static/swagger-ui.css",
        swagger_favicon_url="data:,",
        swagger_ui_parameters={"validatorUrl": None},  # by default a badge from another host
    )
    page.headers["content-security-policy"] = _POLICY
    return page


def add_docs(app: FastAPI) -> None:
    """Put the page before the one that FastAPI or vLLM has registered, unless docs are off."""
    if app.openapi_url is not None:
        app.router.routes.insert(0, Route("/docs", docs, include_in_schema=False))
