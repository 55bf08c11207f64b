"""A use case of one source, readings of sensors, ingested by the real stage, here or in a process that is killed.

python -m mlplatform_tests.feeding <file that holds the folder and the source as JSON>
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from mlplatform.home import Home
from mlplatform.lake.cursors import read_cursor
from mlplatform.lake.lake import Lake
from mlplatform.resources.lake import LakeResource
from mlplatform.spec import Declaration, load_declaration
from mlplatform.spec import UseCase as UseCaseSpec
from mlplatform.stages.raw import raw_asset

TABLE = "raw_fraud.readings"
CONTRACT = """
import pandas as pd
import pandera.pandas as pa


class Readings(pa.DataFrameModel):
    reading_id: int
    event_time: pd.Timestamp
    sensor: str = pa.Field(nullable=True)
    value: float = pa.Field(ge=-100, le=1e7)
"""


@dataclass(frozen=True)
class Feeding:
    """The declaration, its folder, and what is in the lake."""

    folder: Path
    source: dict[str, Any]

    @property
    def declaration(self) -> Declaration:
        (self.folder / "contract.py").touch()
        if not (self.folder / "contract.py").read_text():
            (self.folder / "contract.py").write_text(CONTRACT)
        content = load_declaration("fraud").spec.model_dump()
        given = {"name": "readings", "key": ["reading_id"], **self.source}
        return Declaration(UseCaseSpec.model_validate(content | {"sources": [given]}), self.folder)

    def ingest(self, **config: str) -> dg.ExecuteInProcessResult:
        """One run of the stage."""
        uc = self.declaration
        name = "fraud__raw_readings"
        with dg.DagsterInstance.ephemeral(str(self.folder)) as instance:
            return dg.materialize(
                [raw_asset(uc, uc.spec.sources[0])],
                resources={"lake": LakeResource()},
                instance=instance,
                raise_on_error=False,
                run_config={"ops": {name: {"config": config}}} if config else None,
            )

    def refused(self, **config: str) -> str:
        """The message of the error that a run ends with."""
        result = self.ingest(**config)
        assert not result.success
        return str(result.get_step_failure_events()[0].step_failure_data.error)

    def ingested(self, **config: str) -> dict[str, Any]:
        """The metadata of a run that must succeed."""
        result = self.ingest(**config)
        assert result.success, [str(e.step_failure_data.error) for e in result.get_step_failure_events()]
        made = result.asset_materializations_for_node("fraud__raw_readings")
        return {name: value.value for name, value in made[-1].metadata.items()}

    def ingesting(self) -> "subprocess.Popen[bytes]":
        """A run in a process of its own."""
        given = self.folder / f"{uuid.uuid4()}.json"
        given.write_text(json.dumps(self.source))
        return subprocess.Popen(
            [sys.executable, "-m", "mlplatform_tests.feeding", str(given)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def ingest_and_kill(self, ready: Callable[[], bool]) -> None:
        """A run in a process of its own, which is sent SIGKILL as soon as `ready`."""
        child = self.ingesting()
        until = time.monotonic() + 120
        while child.poll() is None and not ready():
            assert time.monotonic() < until, "the run was never where it was to be killed"
            time.sleep(0.01)
        assert child.poll() is None, "the run ended before it was to be killed"
        child.send_signal(signal.SIGKILL)
        assert child.wait(30) == -signal.SIGKILL

    def cursor(self) -> str | None:
        return read_cursor(Lake.at(Home.current()), TABLE)

    def rows(self, select: str = "reading_id, sensor, value") -> list[tuple[Any, ...]]:
        """What is stored, by id."""
        return self.ask(f"SELECT {select} FROM {TABLE} ORDER BY reading_id")

    def ids(self) -> list[int]:
        return [row[0] for row in self.rows("reading_id")]

    def quarantined(self) -> list[tuple[Any, ...]]:
        """Reason and row of what was put aside."""
        lake = Lake.at(Home.current())
        return self.ask('SELECT _reason, "row" FROM fraud.quarantine') if lake.has_table("fraud.quarantine") else []

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        lake = Lake.at(Home.current())
        if not lake.has_table(TABLE) and TABLE in query:
            return []
        with lake.read() as con:
            return con.execute(query).fetchall()


def main() -> None:
    given = Path(sys.argv[1])
    sys.exit(not Feeding(given.parent, json.loads(given.read_text())).ingest().success)


if __name__ == "__main__":
    main()
