"""A table of the lake as MLflow knows data sets: what a run was trained on, and how to have it again."""

from typing import Any, Self

from mlflow.data.dataset_source import DatasetSource
from mlflow.data.meta_dataset import MetaDataset

from mlplatform.home import Home
from mlplatform.lake.lake import Lake

__all__ = ["LakeTable", "lake_dataset"]


class LakeTable(DatasetSource):  # type: ignore[misc] # MLflow has no types
    """A table as it was at a snapshot. MLflow finds this class by the entry point `mlflow.dataset_source`."""

    def __init__(self, table: str, snapshot: int) -> None:
        self.table, self.snapshot = table, snapshot

    @staticmethod
    def _get_source_type() -> str:
        return "ducklake"

    def load(self) -> Any:
        """The rows as a DataFrame, from the lake of this process's home."""
        with Lake.at(Home.current()).read(self.snapshot) as con:
            return con.execute(f"FROM {self.table}").df()

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, LakeTable)

    @classmethod
    def _resolve(cls, raw_source: Any) -> "LakeTable":
        assert isinstance(raw_source, LakeTable)
        return raw_source

    def to_dict(self) -> dict[str, Any]:
        """What MLflow stores."""
        return {"table": self.table, "snapshot": self.snapshot}

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> Self:
        """The reverse of `to_dict`."""
        return cls(str(source_dict["table"]), int(source_dict["snapshot"]))


def lake_dataset(table: str, snapshot: int, sha256: str) -> MetaDataset:
    """The data set of a run; `sha256` is the hash of its content, of which MLflow keeps 32 digits."""
    return MetaDataset(LakeTable(table, snapshot), name=table, digest=sha256[:32])
