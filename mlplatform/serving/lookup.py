"""Answers by key: the newest feature rows of each key travel with the model, and a caller names who or what it asks of.

Every row is encoded when the bundle is loaded; a request picks its rows, scores them and shapes the answer.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from mlplatform.errors import ArtifactError
from mlplatform.serving.bundle_settings import load_settings, save_settings
from mlplatform.serving.identity import Identity

if TYPE_CHECKING:
    import pyarrow as pa

    from mlplatform.ml.model import Model

__all__ = ["ROWS_FILE", "SETTINGS_FILE", "Asked", "Lookup", "LookupSettings"]

ROWS_FILE = "lookup.parquet"
SETTINGS_FILE = "lookup.json"

Key = tuple[Any, ...]


@dataclass(frozen=True)
class LookupSettings:
    """How rows are found, cut and shown; stored as JSON beside them."""

    keys: tuple[str, ...]
    """Columns that a request names."""
    answers: Literal["items", "forecasts", "predictions"]
    """Name of the list in the response."""
    shown: tuple[str, ...]
    """Columns of each entry of the response, beside the answer."""
    event_time: str
    default: Mapping[str, str | int]
    """The key that answers for an unknown one; empty: none does."""
    limit: str | None = None
    """What a request may call how much it wants: `k`, or `horizon`."""
    steps: str | None = None
    """Column of the horizon: the limit is its largest value. None: the limit is a number of entries, best first."""
    usual: int | None = None
    """The limit of a request that names none; None: all rows."""

    @property
    def default_key(self) -> Key:
        """The default as a key; of nothing where none is declared."""
        return tuple(self.default[name] for name in self.keys) if self.default else ()

    def save(self, folder: Path) -> None:
        """Write SETTINGS_FILE."""
        save_settings(folder / SETTINGS_FILE, self)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises ArtifactError when it is not what `save` writes."""
        return load_settings(
            folder / SETTINGS_FILE,
            "the settings of a lookup",
            lambda told: cls(**{**told, "keys": tuple(told["keys"]), "shown": tuple(told["shown"])}),
        )


@dataclass(frozen=True)
class Asked:
    """What a request by key comes to: which rows, of whom, and how many entries are wanted."""

    rows: slice
    known: bool
    """Whether the key was there, or the default answers for it."""
    limit: int | None


@dataclass(frozen=True)
class Lookup:
    """The rows of all keys, those of one key side by side."""

    settings: LookupSettings
    table: "pa.Table"
    matrix: npt.NDArray[np.float64]
    places: Mapping[Key, slice]
    steps: npt.NDArray[np.int64] | None
    """The horizon of each row, where there are horizons."""

    @classmethod
    def load(cls, folder: Path, model: "Model") -> Self | None:
        """None where the bundle has no such rows. Raises ArtifactError where they do not fit the model."""
        if not (folder / ROWS_FILE).exists():
            return None
        import pyarrow as pa
        import pyarrow.parquet as pq

        settings = LookupSettings.load(folder)
        try:
            table = pq.read_table(folder / ROWS_FILE)
            table = table.sort_by([(name, "ascending") for name in settings.keys])
            needed = {*settings.keys, *settings.shown, settings.event_time, *model.features}
            if missing := sorted(needed - set(table.column_names)):
                raise ArtifactError(f"{folder / ROWS_FILE} lacks {', '.join(missing)}; build the bundle again")
            matrix = model.matrix(table.select(list(model.features)).to_pandas())
        except (OSError, pa.ArrowException) as error:
            raise ArtifactError(f"cannot read {folder / ROWS_FILE}: {error}; build the bundle again") from error
        steps = None if settings.steps is None else table[settings.steps].to_numpy().astype(np.int64)
        places = _places(table, settings.keys)
        _require_keys(places, settings, folder / ROWS_FILE)
        return cls(settings, table, matrix, places, steps)

    def speaks_of(self, request: Mapping[str, Any], features: Collection[str]) -> bool:
        """Whether a request is one by key, maybe a misspelt one: it brings nothing else, or few of the features."""
        brought = sum(name in features for name in request)
        return set(request) <= {*self.settings.keys, self.settings.limit} or 2 * brought < len(features)

    def find(self, request: Mapping[str, Any]) -> Asked | str:
        """The rows of a request, or what is wrong with it."""
        if wrong := self._misnamed(request):
            return wrong
        key = tuple(request[name] for name in self.settings.keys)
        for name, value, like in zip(self.settings.keys, key, next(iter(self.places)), strict=True):
            if type(value) is not type(like):
                return f"{name} must be a {'whole number' if isinstance(like, int) else 'text'}"
        rows, known = self.places.get(key), key in self.places
        if rows is None:
            if not self.settings.default:
                return (
                    f"no such {', '.join(self.settings.keys)}; {len(self.places)} are known, such as {self.example()}"
                )
            rows = self.places[self.settings.default_key]
        limit = self._limit(request, rows)
        return limit if isinstance(limit, str) else Asked(rows, known, limit)

    def chosen(self, asked: Asked, order: npt.NDArray[np.float64] | None) -> npt.NDArray[np.intp]:
        """Positions of the rows that are answered: the best by `order` [rows], or those up to the horizon."""
        places = np.arange(asked.rows.start, asked.rows.stop)
        if order is not None:
            return places[np.argsort(-order, kind="stable")[: asked.limit]]
        if self.steps is None:
            return places
        steps = self.steps[places]
        within = places if asked.limit is None else places[steps <= asked.limit]
        return within[np.argsort(steps[within - asked.rows.start], kind="stable")]

    def entries(self, rows: npt.NDArray[np.intp], columns: tuple[str, ...]) -> list[dict[str, Any]]:
        """The columns of rows as JSON objects."""
        found = self.table.select(list(columns)).take(rows).to_pylist()
        return [{name: _plain(value) for name, value in entry.items()} for entry in found]

    def about(self, rows: npt.NDArray[np.intp], identity: Identity) -> list[dict[str, Any]]:
        """Entity keys and event time of rows, as far as they are there."""
        names = tuple(n for n in (*identity.keys, identity.event_time) if n in self.table.column_names)
        return self.table.select(list(names)).take(rows).to_pylist() if names else [{}] * len(rows)

    def as_of(self, asked: Asked) -> str:
        """The moment up to which the rows know the world."""
        return str(self.table[self.settings.event_time][asked.rows.start].as_py().isoformat())

    def example(self) -> dict[str, Any]:
        """A key that is there."""
        default = self.settings.default_key
        key = next((key for key in self.places if key != default), next(iter(self.places)))
        return dict(zip(self.settings.keys, key, strict=True))

    def _misnamed(self, request: Mapping[str, Any]) -> str | None:
        keys, limit = self.settings.keys, self.settings.limit
        if set(keys) <= set(request) <= {*keys, limit}:
            return None
        may = f", and may name {limit}" if limit else ""
        return f"a request names {', '.join(keys)}{may}, such as {self.example()}; or it brings all features"

    def _limit(self, request: Mapping[str, Any], rows: slice) -> int | str | None:
        name = self.settings.limit
        if name is None or name not in request:
            return self.settings.usual
        limit = request[name]
        if type(limit) is not int or limit < 1:
            return f"{name} must be a whole number from 1 on"
        if self.steps is not None:
            furthest = int(self.steps[rows].max())
            if limit > furthest:
                return f"{name} is {limit}; forecasts reach {furthest} steps ahead, as far as their inputs are known"
        return limit


def _require_keys(places: Mapping[Key, slice], settings: LookupSettings, path: Path) -> None:
    """What a service could only find out when it is asked."""
    if not places:
        raise ArtifactError(f"{path} has no row; materialise the features and build the bundle again")
    for key in places:
        if not all(type(value) in (int, str) for value in key):
            raise ArtifactError(f"{path}: {', '.join(settings.keys)} must be whole numbers or texts, without gaps")
    if settings.default and settings.default_key not in places:
        raise ArtifactError(
            f"{path} has no row of serving.default {dict(settings.default)}; keys look like {next(iter(places))}. "
            "Let the features have rows of it, or leave the default out"
        )


def _places(table: "pa.Table", keys: tuple[str, ...]) -> dict[Key, slice]:
    """Where the rows of each key stand in a table that is sorted by it."""
    columns = [table[name].to_pylist() for name in keys]
    places: dict[Key, slice] = {}
    start = 0
    for key, rows in groupby(zip(*columns, strict=True)):
        places[key] = slice(start, start := start + sum(1 for _ in rows))
    return places


def _plain(value: Any) -> Any:
    """As JSON has it: times as text, NaN as null."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return None if isinstance(value, float) and math.isnan(value) else value
