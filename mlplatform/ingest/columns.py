"""A source's own column names, and the contract's."""

from collections.abc import Sequence
from difflib import get_close_matches

from mlplatform.contracts.casting import quote
from mlplatform.errors import SourceError
from mlplatform.spec import FilesSource, RestSource, SqlSource, StreamSource

__all__ = ["given_names", "renamed", "require_columns"]


def given_names(spec: FilesSource | SqlSource | RestSource | StreamSource) -> dict[str, str]:
    """Contract name -> name in the source, for every column that the declaration speaks of."""
    clock = [spec.time_column] if spec.time_column else []
    return {name: name for name in (*spec.key, *clock)} | spec.columns


def renamed(given: dict[str, str], present: Sequence[str]) -> str:
    """The select list that calls the columns as the contract does; columns not named come along."""
    taken = {name.lower() for name in (*given.values(), *given)}
    others = [quote(name) for name in present if name.lower() not in taken]
    return ", ".join([*(f"{quote(own)} AS {quote(name)}" for name, own in given.items()), *others])


def require_columns(given: dict[str, str], present: Sequence[str], *, source: str, where: str) -> None:
    """Raises SourceError for the first column that is not `present` in what `where` says, with the nearest name."""
    for name, own in given.items():
        if own in present:
            continue
        close = get_close_matches(own, present, n=1)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        raise SourceError(
            f"source `{source}`: {where} has no column `{own}`; it has {', '.join(present)}.{hint} Say what it is "
            f"called there under `columns:` of the source: `{name}: <name in the source>`."
        )
