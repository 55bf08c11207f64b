"""A person's own transactions pass the same contract, by changing only the source in the YAML."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from mlplatform.contracts.check import Checked, check_rows
from mlplatform.ingest.open import open_reader
from mlplatform.spec import UseCase
from mlplatform.spec.load import load_declaration
from mlplatform_tests.contracts.conftest import FRAUD

COLUMNS = {
    "transaction_id": "Buchungsnummer",
    "event_time": "Zeitpunkt",
    "customer_id": "Kunde",
    "terminal_id": "Kasse",
    "amount": "Betrag",
    "is_fraud": "Betrug",
}


def simulated() -> pa.Table:
    return open_reader(load_declaration("fraud").spec.sources[0], FRAUD).read(date(2018, 4, 1), date(2018, 4, 2))


def own_file(folder: Path, ending: str) -> Path:
    frame = simulated().to_pandas().drop(columns=["label_known_at", "fraud_scenario"]).rename(columns=COLUMNS)
    path = folder / f"buchungen.{ending}"
    if ending == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.assign(Filiale="Süd").to_csv(path, index=False, sep=";")
    return path


def with_source(path: Path) -> UseCase:
    """The declared use case with another source, as the YAML would say it."""
    content = load_declaration("fraud").spec.model_dump(mode="json")
    key_and_start = {"name": "transactions", "key": ["transaction_id"], "start": "2018-04-01"}
    content["sources"] = [{**key_and_start, "kind": "files", "path": str(path), "columns": COLUMNS}]
    return UseCase.model_validate(content)


def ingest(use_case: UseCase, schema: type[Any]) -> Checked:
    source = use_case.sources[0]
    batch = open_reader(source, FRAUD).read(date(2018, 4, 1), date(2018, 4, 2))
    return check_rows(schema, batch, key=source.key, time_column=source.time_column, before=datetime(2018, 4, 2))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_own_files_give_the_rows_of_the_simulator(tmp_path: Path, transactions: type[Any], ending: str) -> None:
    checked = ingest(with_source(own_file(tmp_path, ending)), transactions)
    given = list(COLUMNS)
    assert len(checked.bad) == 0
    assert checked.good.select(given).equals(simulated().select(given))


def test_a_damaged_value_in_an_own_file_costs_its_row_alone(tmp_path: Path, transactions: type[Any]) -> None:
    path = own_file(tmp_path, "csv")
    frame = pd.read_csv(path, sep=";", dtype=str)
    frame.loc[5, "Betrag"] = "zwölf"
    frame.loc[7, "Zeitpunkt"] = "gestern"
    frame.to_csv(path, index=False, sep=";")
    checked = ingest(with_source(path), transactions)
    assert [reason.split(" is")[0] for reason in checked.bad["_reason"].to_pylist()] == [
        "amount 'zwölf'",
        "event_time 'gestern'",
    ]
    assert len(checked.good) == len(frame) - 2
