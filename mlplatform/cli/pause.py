"""`mlplatform pause` and `mlplatform resume`: keep the champion, and let the platform retrain again."""

import getpass
import re
from datetime import timedelta

import click

from mlplatform.cli.reason import require_reason
from mlplatform.cli.setup import prepare_home
from mlplatform.errors import SpecError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.spec import load_declaration

__all__ = ["duration", "pause_use_case", "resume_use_case"]

_UNITS = {"d": "days", "h": "hours"}
_LONGEST = {"d": 3_652, "h": 87_648}


def duration(text: str, option: str = "--for") -> timedelta:
    """`7d` or `12h`, as an option has it, as a time span.

    Raises:
        SpecError: it is neither, or longer than ten years.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([dh])", text)
    if found is None or float(found[1]) == 0:
        raise SpecError(f"{option} takes days or hours like 7d or 12h, not {text!r}")
    if float(found[1]) > _LONGEST[found[2]]:
        raise SpecError(f"{option} takes ten years at most, not {text!r}; `mlplatform pause` without --for has no end")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})


def pause_use_case(name: str, span: str | None, reason: str) -> None:
    """Stop the retrain sensor of a use case; `span` is counted in the data's time, from its newest day on.

    Raises:
        SpecError: there is no such use case, no reason, or `span` is no time span.
        LakeError: there is a `span`, but no data yet to count it from.
    """
    from mlplatform.stages.clock import newest_day_end
    from mlplatform.stages.pause import pause

    require_reason(reason)
    uc, lake = load_declaration(name), _lake()
    until = newest_day_end(uc, lake).to_pydatetime() + duration(span) if span else None
    made = pause(uc, lake, until, reason, by=getpass.getuser())
    click.echo(f"{name}: {made}")
    click.echo(f"`mlplatform resume {name}` ends it")


def resume_use_case(name: str) -> None:
    """End every open pause of a use case."""
    from mlplatform.stages.pause import release

    ended = release(load_declaration(name), _lake(), by=getpass.getuser())
    click.echo(f"{name}: {ended} pause(s) released" if ended else f"{name}: nothing was paused")


def _lake() -> Lake:
    home = Home.current()
    prepare_home(home)
    return Lake.at(home)
