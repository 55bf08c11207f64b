"""`mlplatform maintain`: compact the lake, keep every snapshot that a registered model was trained on."""

from datetime import UTC, datetime

import click

from mlplatform.cli.setup import prepare_home
from mlplatform.home import Home

__all__ = ["maintain_lake"]


def maintain_lake(keep_days: int) -> None:
    """Compact, expire, clean up, and say what was done."""
    from mlplatform.lake.lake import Lake
    from mlplatform.lake.maintenance import maintain
    from mlplatform.resources.tracking import Tracking

    home = Home.current()
    prepare_home(home)
    keep = Tracking().training_snapshots()
    done = maintain(Lake.at(home), keep_snapshots=keep, now=datetime.now(UTC), keep_days=keep_days)
    click.echo(f"{done}; kept for registered models: {sorted(keep) or 'none'}")
