"""A dbt-duckdb plugin: dbt takes the lake's write lock before it attaches the lake, and keeps it until it ends.

Named under `plugins` in dbt_project/profiles.yml. Without it a `dbt build` by hand would collide with other writers.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin

from mlplatform.lake.lock import write_lock

__all__ = ["Plugin"]


class Plugin(BasePlugin):  # type: ignore[misc]  # dbt-duckdb publishes no types
    """Holds the lock for the life of the connection; dbt-duckdb finds the class by this name."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Remember where the locks are; nothing is locked before dbt connects (`dbt parse` never does)."""
        self._locks = Path(plugin_config["locks"])
        self._held = ExitStack()

    def configure_connection(self, conn: Any) -> None:  # noqa: ARG002 - dbt-duckdb's signature
        """Wait for the other writers. The kernel gives the lock back when the process ends, however it ends."""
        self._held.enter_context(write_lock(self._locks))
