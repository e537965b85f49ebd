"""HTTP: thin routes on vLLM's app, their schemas, and the OpenAPI document.

`attach` puts everything on an app; the routes work once `app.state.mentalllama` holds a
`service.api.state.ServiceState`. What stands before the routes is `service.gate`.
"""

from __future__ import annotations

from service.api.app import attach

__all__ = ["attach"]
