"""What a person said beside the data, and the columns that they named."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import BaseModel, ConfigDict

from mlplatform.errors import ScaffoldError
from mlplatform.scaffold.column import Column, Profile
from mlplatform.scaffold.plan import TaskKind

__all__ = ["Named", "Wishes", "named_columns"]


class Wishes(BaseModel):
    """What a person said beside the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    time: str | None = None
    entity: str | None = None
    task: TaskKind | None = None
    use: tuple[str, ...] = ()
    """Columns that are features whatever speaks against them."""
    leave_out: tuple[str, ...] = ()
    """Columns that are none."""
    label_delay_days: int = 0


@dataclass(frozen=True)
class Named:
    """The columns that were named, as the table calls them."""

    target: Column
    time: Column | None
    entity: Column | None
    use: frozenset[str]
    leave_out: frozenset[str]


def named_columns(profile: Profile, wishes: Wishes) -> Named:
    """The columns of the wishes; each has one part to play.

    Raises ScaffoldError where one is not there, or is named for two things that it cannot be at once, or is not named
    although something else that was said needs it.
    """
    if wishes.label_delay_days and wishes.time is None:
        raise ScaffoldError(
            f"--label-delay-days {wishes.label_delay_days} says how long after its time a row's label is known, and no "
            "--time says when that is. Name the column with --time, or leave --label-delay-days out"
        )
    parts = [
        ("--target", _found(profile, wishes.target, "--target")),
        *((option, _found(profile, name, option)) for option, name in _optional(wishes)),
        *(("--use", _found(profile, name, "--use")) for name in wishes.use),
        *(("--leave-out", _found(profile, name, "--leave-out")) for name in wishes.leave_out),
    ]
    _require_one_part_each(parts)
    by_option = dict(reversed(parts))
    return Named(
        by_option["--target"],
        by_option.get("--time"),
        by_option.get("--entity"),
        frozenset(column.name for option, column in parts if option == "--use"),
        frozenset(column.name for option, column in parts if option == "--leave-out"),
    )


def _optional(wishes: Wishes) -> list[tuple[str, str]]:
    said = {"--time": wishes.time, "--entity": wishes.entity}
    return [(option, name) for option, name in said.items() if name is not None]


_MEANS = {
    "--target": "what is to be predicted",
    "--time": "when a row happened",
    "--entity": "whose row it is",
    "--use": "something that is known before the answer is",
    "--leave-out": "something that is not learned from",
}


def _require_one_part_each(parts: Sequence[tuple[str, Column]]) -> None:
    first: dict[str, str] = {}
    for option, column in parts:
        before = first.setdefault(column.name, option)
        if before != option:
            raise ScaffoldError(
                f"{before} and {option} both name `{column.name}`: a column cannot be {_MEANS[before]} and "
                f"{_MEANS[option]}. Name another column with {option}, or leave {option} out"
            )


def _found(profile: Profile, name: str, option: str) -> Column:
    if (found := profile.column(name)) is not None:
        return found
    there = [column.name for column in profile.columns]
    close = get_close_matches(name, there, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    if len(there) == 1:
        hint = " It is one column: is its delimiter something else than a comma, a semicolon, a tab or a bar?"
    raise ScaffoldError(
        f"{option} {name}: the table has no such column.{hint} It has {', '.join(there[:20])}"
        f"{f' and {len(there) - 20} more' if len(there) > 20 else ''}"
    )
