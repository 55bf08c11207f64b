"""What both clients are made with."""

import os
from dataclasses import dataclass, field

from mlplatform.client.retry import Retry

__all__ = ["API_KEY_VARIABLE", "Settings"]

API_KEY_VARIABLE = "MLPLATFORM_API_KEY"


@dataclass(frozen=True)
class Settings:
    """`timeout`: seconds that one attempt may take for each of connecting, writing and reading.

    `api_key`: None takes it from MLPLATFORM_API_KEY; "" sends none. A chunk of many rows holds at most `chunk_rows` and
    about `chunk_bytes`: a service takes 5000 rows and 4 MiB.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    retry: Retry = field(default_factory=Retry)
    chunk_rows: int = 1000
    chunk_bytes: int = 2 * 1024 * 1024

    def headers(self) -> dict[str, str]:
        """Sent with every request."""
        key = os.environ.get(API_KEY_VARIABLE) if self.api_key is None else self.api_key
        return {"Authorization": f"Bearer {key}"} if key else {}
