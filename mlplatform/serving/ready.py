"""Asks the service of the same container whether it is ready: `python -m mlplatform.serving.ready`, 0 if so.

For HEALTHCHECK: a slim image has neither curl nor a shell that could be relied on. Nothing but the standard library.
"""

import http.client
import os
import sys

__all__ = ["is_ready"]

SECONDS = 4


def is_ready(port: int) -> bool:
    """Whether /readyz on loopback says 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(int(os.environ.get("PORT", "8080"))) else 1)
