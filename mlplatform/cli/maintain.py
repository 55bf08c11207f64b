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
    click.echo(f"rows moved from the catalog to files   {done.rows_flushed:>10,}")
    click.echo(f"small files merged                     {done.files_merged:>10,}")
    click.echo(f"snapshots expired                      {len(done.snapshots_expired):>10,}")
    click.echo(f"files removed (a day after their use)  {done.files_removed:>10,}")
    before, after = done.bytes_before / 2**20, done.bytes_after / 2**20
    click.echo(f"size of the lake, MiB                  {before:>10,.0f} -> {after:,.0f}")
    click.echo(f"kept for registered models: snapshots {', '.join(map(str, sorted(keep))) or 'none'}")
    if done.snapshots_missing:
        click.secho(f"gone, their models cannot be rebuilt: {', '.join(map(str, done.snapshots_missing))}", fg="yellow")
