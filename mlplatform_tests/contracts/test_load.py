"""A table finds its Pandera model beside the declaration."""

from pathlib import Path

import pytest

from mlplatform.contracts.load import class_name, load_contract
from mlplatform.errors import SpecError

MODEL = "import pandera.pandas as pa\nclass CardEvents(pa.DataFrameModel):\n    id: int\n"


def test_the_name_of_the_table_is_the_name_of_the_model() -> None:
    assert [class_name(name) for name in ("transactions", "card_events", "features")] == [
        "Transactions",
        "CardEvents",
        "Features",
    ]


def test_a_model_is_found_by_its_table(tmp_path: Path) -> None:
    (tmp_path / "contract.py").write_text(MODEL)
    assert list(load_contract(tmp_path, "contract", "card_events").to_schema().columns) == ["id"]


def test_a_missing_file_says_what_it_must_hold(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"contract\.py does not exist. Create it; it must hold `class CardEvents"):
        load_contract(tmp_path, "contract", "card_events")


def test_a_missing_model_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "contract.py").write_text(MODEL)
    with pytest.raises(SpecError, match=r"must hold `class Orders\(.*for the table `orders`; models there: CardEvents"):
        load_contract(tmp_path, "contract", "orders")
