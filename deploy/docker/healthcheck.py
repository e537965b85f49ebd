"""Ends with 0 where the service in this container answers 200, else 1; for HEALTHCHECK.

    python healthcheck.py [/livez|/readyz]

The image has no curl, and needs none. PORT: where the service listens, if not on 8000.
"""

import os
import sys
import urllib.error
import urllib.request

path = sys.argv[1] if len(sys.argv) > 1 else "/livez"
address = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}{path}"
try:
    with urllib.request.urlopen(address, timeout=5) as answer:
        sys.exit(0 if answer.status == 200 else 1)
except (OSError, urllib.error.URLError):
    sys.exit(1)
