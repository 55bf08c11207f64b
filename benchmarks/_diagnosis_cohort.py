"""The published cohort through the use case's own models, as one frame of landmarks with what came of each."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import replace_table
from mlplatform.resources.dbt import build_models
from mlplatform.spec import PythonSource, load_declaration
from mlplatform.use_cases.diagnosis.source import Reader

__all__ = ["HORIZON_DAYS", "landmarks"]

HORIZON_DAYS = 1826
_SQL = """
SELECT f.*, s.label, s.label_known_at, s.label_weight, o.days, o.event
FROM diagnosis.features AS f
JOIN diagnosis.spine AS s USING (example_id)
JOIN (
    SELECT s.example_id,
        date_diff('day', any_value(s.event_time), least(min(d.event_time), any_value(p.followed_until))) AS days,
        coalesce(min(d.event_time) IS NOT NULL OR any_value(p.died) = 1, false) AS event
    FROM diagnosis.spine AS s
    JOIN diagnosis.stg_people AS p USING (person_id)
    LEFT JOIN diagnosis.stg_diagnoses AS d
        ON d.person_id = s.person_id AND d.is_major AND d.event_time > s.event_time
        AND d.event_time <= p.followed_until
    GROUP BY s.example_id
) AS o USING (example_id)
ORDER BY f.event_time, f.example_id
"""


def landmarks() -> pd.DataFrame:
    """One row per landmark of the years under observation that have labels.

    Columns: the features, `label` (missing: lost before the horizon), `label_known_at`, `label_weight`; and for models
    of survival `days` until the event or the end of follow-up, and `event`, whether it was an event.
    """
    declared = load_declaration("diagnosis").spec
    with TemporaryDirectory() as temp:
        home = Home(Path(temp) / "home")
        for source in declared.sources:
            assert isinstance(source, PythonSource)
            rows = Reader(source.params, source).read_all()
            _keep(home, f"raw_diagnosis.{source.name}", rows)
        build_models(home, "diagnosis")
        with Lake.at(home).read() as con:
            found = con.execute(_SQL).df()
    year = (found["years_observed"] * 365.25).round().astype(int) // 365
    return found[year <= year[found["label"].notna()].max()].reset_index(drop=True)


def _keep(home: Home, table: str, rows: object) -> None:
    Lake.at(home).commit(lambda con: replace_table(con, table, rows), table)  # type: ignore[arg-type]
