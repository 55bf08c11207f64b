"""The whole of it: look, choose, write. The command line and `dg scaffold` call this."""

import re
from datetime import datetime
from pathlib import Path

from mlplatform.errors import ScaffoldError
from mlplatform.scaffold.choose import choose
from mlplatform.scaffold.header import require_header
from mlplatform.scaffold.look import look
from mlplatform.scaffold.names import YAML_WORDS
from mlplatform.scaffold.open_rows import opened_rows
from mlplatform.scaffold.origin import parse_origin
from mlplatform.scaffold.plan import Plan
from mlplatform.scaffold.wishes import Wishes
from mlplatform.scaffold.write import require_absent, write_use_case
from mlplatform.spec.reserved import SQL_WORDS

__all__ = ["make_use_case", "planned", "require_name"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = {"use_cases", "raw", "lake", "main", "quarantine", "information_schema", "temp", "system"}


def require_name(name: str) -> None:
    """Raises ScaffoldError for a name that no use case can have."""
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise ScaffoldError(
            f"{name!r} cannot be the name of a use case: lower-case letters, digits and _, beginning with a letter, at "
            "most 40; it becomes a schema in the lake, a model, a service"
        )
    if name in SQL_WORDS:
        raise ScaffoldError(
            f"{name!r} cannot be the name of a use case: it is a word of SQL, and the name becomes a schema in the "
            f"lake; choose another, such as {name}_model"
        )
    if name in _RESERVED | YAML_WORDS or name.startswith(("raw_", "pg_")):
        raise ScaffoldError(f"{name!r} is a name that the platform, the lake or YAML uses itself; choose another")


def planned(name: str, given: str, table: str | None, wishes: Wishes, as_of: datetime) -> Plan:
    """What a use case called `name` would be, from what `--from` and `--table` say; `as_of` (UTC, no zone): now.

    Raises:
        ScaffoldError: the name is illegal, or nothing can be learned from the data as it is.
        SourceError: the data cannot be read.
    """
    require_name(name)
    origin = parse_origin(given, table, name)
    with opened_rows(origin) as con:
        if origin.kind == "csv":
            require_header(con, given)
        return choose(con, look(con), name, origin, wishes, as_of)


def make_use_case(folder: Path, given: str, table: str | None, wishes: Wishes, as_of: datetime) -> Plan:
    """Plan it and write it to `folder`, which is called like the use case and must not be there.

    Raises as `planned` does, and ScaffoldError where the folder is there.
    """
    require_absent(folder)
    plan = planned(folder.name, given, table, wishes, as_of)
    write_use_case(plan, folder)
    return plan
