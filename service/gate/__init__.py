"""What stands before the routes, vLLM's and ours: pure ASGI, no route knows of it.

A request passes, from the outside in: `RequestId` (an id), `Record` (a line in the log), `Observe`
(metrics), `Errors` (one shape for whatever goes wrong further in), `ControlHeaders` (nothing that
steers the engine), `Allowlist` (the closed list of routes), `Drain` (no new work while the service
ends), `Authenticate` (who asks), `Quota` (what the caller may still ask), `BodyLimit` (a whole
body, in time), `Work` (its turn). `BaseHTTPMiddleware` is used nowhere: it hides a client's
disconnect from the app.

`Gate` is all of them in one. `service.api.attach` adds it to the app. vLLM puts its own middlewares
(CORS, API keys) around whatever a plugin adds, so their refusals would keep vLLM's shape:
`mentalllama serve` therefore also passes `--middleware service.gate.Gate`, which goes outermost.
Where two stand in a row the outer one works and the inner one steps aside.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from service.gate.admission import Admission
from service.gate.allowlist import Allowlist
from service.gate.authenticate import Authenticate
from service.gate.body_limit import BodyLimit
from service.gate.control_headers import ControlHeaders
from service.gate.counters import Counters
from service.gate.drain import Drain
from service.gate.errors import Errors
from service.gate.keys import load_keys
from service.gate.observe import Observe
from service.gate.quota import Quota
from service.gate.record import Record
from service.gate.request_id import RequestId
from service.gate.shape import state_of
from service.gate.work import Work
from service.settings import Settings, load_settings

__all__ = ["Gate"]

_PASSED = "mentalllama_gate"


class Gate:
    """ASGI middleware: all that stands before the routes.

    Args:
        app: what stands behind it.
        settings: the deployment's; None reads them from the environment.

    Raises:
        InvalidSettingsError: the environment holds a wrong setting, or the keys cannot be read.
    """

    def __init__(self, app: ASGIApp, settings: Settings | None = None) -> None:
        settings = settings or load_settings()
        self.app = app
        listed = Allowlist(Drain(_guarded(app, settings)))
        guarded = Observe(Errors(ControlHeaders(listed)))
        self.guarded: ASGIApp = RequestId(Record(guarded, settings.audit_log))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan" or state_of(scope).get(_PASSED):
            await self.app(scope, receive, send)
            return
        state_of(scope)[_PASSED] = True
        await self.guarded(scope, receive, send)


def _guarded(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The app behind what keeps callers apart and the engine from too much work."""
    counters = Counters(settings.redis_url.get_secret_value() if settings.redis_url else None)
    admission = Admission(
        settings.max_running_tokens,
        settings.max_queued_tokens,
        settings.max_wait_seconds,
        max_requests=settings.max_queued_requests,
    )
    work = Work(app, admission, counters, settings.interactive_texts)
    bodies = BodyLimit(work, settings.max_body_bytes, settings.body_seconds)
    return Authenticate(
        Quota(bodies, counters),
        load_keys(settings),
        public_pages=settings.public_pages,
    )
