"""Finds the Pandera model that a use case wrote for a table."""

from pathlib import Path
from typing import Any

from mlplatform.errors import SpecError
from mlplatform.spec.module import load_module

__all__ = ["class_name", "load_contract"]


def class_name(table: str) -> str:
    """The rule that ties a table to its model: `card_events` -> `CardEvents`, `features` -> `Features`."""
    return "".join(part.capitalize() for part in table.split("_"))


def load_contract(folder: Path, module: str, name: str) -> type[Any]:
    """The pandera `DataFrameModel` for table `name` (a source, or `features`) in `<folder>/<module>.py`.

    Raises SpecError that names the file, the class it must hold, and the models that are there.
    """
    from pandera.pandas import DataFrameModel

    wanted = class_name(name)
    loaded = load_module(folder, module, f"`class {wanted}(pandera.pandas.DataFrameModel)`")
    models: dict[str, type[Any]] = {
        key: value for key, value in vars(loaded).items() if _is_model(value, DataFrameModel)
    }
    if wanted not in models:
        there = ", ".join(sorted(models)) or "none"
        raise SpecError(
            f"{folder / module}.py must hold `class {wanted}(pandera.pandas.DataFrameModel)` for the table `{name}`; "
            f"models there: {there}."
        )
    return models[wanted]


def _is_model(value: object, base: type[Any]) -> bool:
    return isinstance(value, type) and issubclass(value, base) and value is not base
