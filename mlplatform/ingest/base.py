"""What every kind of source must be able to do, and how a source's own parameters are checked."""

from datetime import date
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from mlplatform.errors import SpecError
from mlplatform.spec import PythonSource

__all__ = ["Reader", "Table", "parse_params"]

Params = TypeVar("Params", bound=BaseModel)


class Table(Protocol):
    """A source whose rows have no time: it is read whole."""

    def read_all(self) -> pa.Table:
        """All rows, under the column names of the contract.

        Rows come as they are: a value that is not of its type stays text, so that the contract can name it.
        Raises SourceError when the source cannot be read as a whole.
        """

    def fingerprint(self) -> str:
        """Changes when the content of the source may have changed; reads no rows."""


class Reader(Protocol):
    """A source that can be asked for any range of days, as often as one likes, with the same answer."""

    def available(self) -> tuple[date, date] | None:
        """First day, and the day behind the last, that exist now; None while the source holds no row.

        Raises SourceError when the source cannot be read as a whole.
        """

    def read(self, start: date, end: date) -> pa.Table:
        """Rows with start <= time < end, under the column names of the contract; as they come, like `read_all`.

        Raises SourceError when the source cannot be read as a whole.
        """

    def fingerprint(self) -> str:
        """Changes when the content of the source may have changed; reads no rows."""


def parse_params(model: type[Params], params: dict[str, Any], source: PythonSource) -> Params:
    """The `params` of a python source as its own pydantic model. Raises SpecError that lists what is allowed."""
    try:
        return model.model_validate(params)
    except ValidationError as error:
        problems = "; ".join(f"{_path(item['loc'])}: {item['msg']}" for item in error.errors())
        allowed = ", ".join(model.model_fields)
        raise SpecError(f"source `{source.name}`, params: {problems}. Allowed params: {allowed}.") from None


def _path(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc)
