"""`mlplatform challenge`: another version beside the live one, in running services or on the journal; and its end."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from mlplatform.cli.setup import prepare_home, use_home
from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.spec import Declaration, load_declaration

if TYPE_CHECKING:
    from mlplatform.serving.challenger import Challenger

__all__ = ["challenge", "compare", "end_challenge"]


def challenge(name: str, version: int, share: float | None) -> None:
    """Package a version and name it as the challenger of running services: of a share, or (None) as a shadow.

    Raises:
        SpecError: there is no such use case.
        ArtifactError: nothing is live, there is no such version, it is live itself, or its model cannot be packaged.
    """
    from mlplatform.resources.lake import LakeResource
    from mlplatform.resources.tracking import Tracking
    from mlplatform.serving.challenger import write_challenger
    from mlplatform.stages.bento import package_version
    from mlplatform.stages.challenger_log import versions_at

    uc, home = load_declaration(name), Home.current()
    _require_champion(uc, home)
    use_home(home)
    prepare_home(home)
    tracking = Tracking()
    live, number = versions_at(uc, tracking, version)
    registered = tracking.version(name, number)
    assert registered is not None
    click.echo(f"{name}: packaging v{number}")
    built, _ = package_version(uc, registered, LakeResource(), tracking)
    challenger = _named(name, built.tag, number, str(built.bundle), share)
    write_challenger(home.challenger(name), challenger)
    what = "a shadow" if share is None else f"a canary for {share:.0%} of the entities"
    click.echo(f"{built.tag} challenges v{live} as {what}; running services follow within a second")
    click.echo(f"compare: mlplatform challenge {name} --compare; end: mlplatform challenge {name} --end")


def end_challenge(name: str) -> None:
    """Remove the challenger's file; running services let go of it.

    Raises:
        SpecError: there is no such use case.
    """
    load_declaration(name)
    file = Home.current().challenger(name)
    was = file.exists()
    file.unlink(missing_ok=True)
    click.echo(f"{name}: the challenge has ended" if was else f"{name}: nobody challenged")


def compare(name: str, version: int) -> bool:
    """Score the journal with the other version and report; True when that went well. `version` 0: the challenger.

    Raises:
        SpecError: there is no such use case.
        ArtifactError: nothing is live.
    """
    from mlplatform.cli.run import run_job
    from mlplatform.stages.challenge_days import Challenge, challenge_config, challenge_day_tags, challenge_span
    from mlplatform.stages.clock import newest_day_end
    from mlplatform.stages.jobs import challenge_job, use_case_tags

    uc, home = load_declaration(name), Home.current()
    _require_champion(uc, home)

    def tags() -> dict[str, str]:
        span = challenge_span(uc, {}, Challenge(), newest_day_end(uc, Lake.at(home)))
        return use_case_tags(uc) | challenge_day_tags(uc, *span)

    return run_job(uc, challenge_job(uc), tags, config=challenge_config(uc, version))


def _require_champion(uc: Declaration, home: Home) -> None:
    """Before anything is created in a home that holds nothing."""
    if not home.deployment(uc.spec.name).exists():
        raise PlatformError(
            f"nothing is deployed for {uc.spec.name} yet; run `mlplatform run {uc.spec.name}` first: "
            "a challenger needs a champion"
        )


def _named(name: str, bento: str, version: int, path: str, share: float | None) -> "Challenger":
    from mlplatform.serving.challenger import Challenger

    since = datetime.now(UTC).isoformat(timespec="seconds")
    if share is None:
        return Challenger(name, bento, str(version), path, "shadow", 1.0, since)
    return Challenger(name, bento, str(version), path, "canary", share, since)
