"""The fraud use case as one plain script: the platform's domain functions in a row, no Dagster anywhere.

It does what `mlplatform run fraud` does for its results, and nothing that it does for the graph: no event log, no
table metadata, no column lineage, no model read back from the registry, no hash of the training set, no pictures of
the comparison and the drift. `python -m benchmarks._overhead_script PHASES.json` on the home of this process.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import mlplatform
from mlplatform.cli.setup import prepare_home
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.spec import Declaration, load_declaration

PROJECT = Path(mlplatform.__file__).parent.parent / "dbt_project"


@dataclass
class Script:
    """What the steps share, and when each of them ran."""

    uc: Declaration
    home: Home
    lake: Lake
    as_of: Any
    phases: dict[str, tuple[float, float]] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begun = time.time()
        yield
        self.phases[name] = (begun, time.time())


def main() -> None:
    home = Home.current()
    prepare_home(home)
    import pandas as pd

    uc = load_declaration("fraud")
    last = date.fromisoformat(uc.spec.sources[0].end or "")
    script = Script(uc, home, Lake.at(home), pd.Timestamp(last + timedelta(days=1)))
    with script.phase("raw"):
        ingest(script)
    with script.phase("dbt"):
        build_features(script)
    with script.phase("leakage"):
        look_for_leaks(script)
    with script.phase("training_set"):
        rows, snapshot = freeze_training_set(script)
    trained = {}
    for candidate in uc.spec.training.candidates:
        with script.phase(f"candidate_{candidate.name}"):
            trained[candidate.name] = train(script, candidate, rows, snapshot)
    with script.phase("champion"):
        winner, version = promote(script, trained, rows, snapshot)
    with script.phase("bento"):
        bundle = package(script, *trained[winner], version, snapshot)
    with script.phase("deployment"):
        deploy(script, bundle, version)
    with script.phase("drift_report"):
        windows = measure_drift(script, bundle, version)
    with script.phase("retrain_decision"):
        decide(script, windows, version, sum(result.seconds for result, _ in trained.values()))
    Path(sys.argv[1]).write_text(json.dumps(script.phases))


def ingest(script: Script) -> None:
    import pyarrow as pa

    from mlplatform.contracts.check import check_rows
    from mlplatform.contracts.load import load_contract
    from mlplatform.ingest.open import open_reader
    from mlplatform.lake.tables import merge_rows, stored_on_another_day

    uc, source = script.uc, script.uc.spec.sources[0]
    reader, schema = open_reader(source, uc.folder), load_contract(uc.folder, uc.spec.contract.module, source.name)
    day, end = date.fromisoformat(source.start), script.as_of.date()
    while day < end:
        behind = min(day + timedelta(days=31), end)
        before = datetime.combine(behind, datetime.min.time())
        rows = reader.read(day, behind)
        taken = partial(stored_on_another_day, script.lake, "raw_fraud.transactions", source.key, source.time_column)
        good = check_rows(schema, rows, key=source.key, time_column=source.time_column, before=before, taken=taken).good
        loaded_at = pa.array([datetime.now(UTC).replace(tzinfo=None)] * len(good), pa.timestamp("us"))
        stamped = good.append_column("_loaded_at", loaded_at)
        script.lake.commit(partial(merge_rows, table="raw_fraud.transactions", rows=stamped, key=source.key), "ingest")
        day = behind


def build_features(script: Script) -> None:
    from mlplatform.lake.feature_query import FeatureQuery

    target = script.home.dbt / "target"
    where = {"DBT_PROJECT_DIR": str(PROJECT), "DBT_PROFILES_DIR": str(PROJECT)}
    kept = {"DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(script.home.dbt / "logs")}
    dbt = Path(sys.executable).parent / "dbt"
    command = [str(dbt), "build", "--select", "fqn:*.fraud.*"]
    subprocess.run(command, cwd=PROJECT, env={**os.environ, **where, **kept}, check=True)
    FeatureQuery.from_manifest(target / "manifest.json", "fraud").save(script.home.feature_query("fraud"))


def look_for_leaks(script: Script) -> None:
    from mlplatform.lake.feature_query import FeatureQuery
    from mlplatform.lake.leakage import check_leakage

    query, declared = FeatureQuery.load(script.home.feature_query("fraud")), script.uc.spec.leakage
    sample = {"rows": declared.rows, "seed": declared.seed, "lookback_days": declared.lookback_days}
    assert check_leakage(query, script.lake, script.as_of, **sample).passed


def freeze_training_set(script: Script) -> tuple[Any, int]:
    import numpy as np
    import pandas as pd

    from mlplatform.contracts.check import check_rows
    from mlplatform.contracts.load import load_contract
    from mlplatform.lake.tables import replace_table
    from mlplatform.ml.splits import split_by_time

    uc, as_of = script.uc, script.as_of
    declared = uc.spec.training.split
    span = (as_of - pd.Timedelta(days=declared.span_days), as_of - pd.Timedelta(days=declared.label_delay_days), as_of)
    with script.lake.read() as con:
        rows = con.execute(
            "SELECT f.*, s.label, s.label_known_at FROM fraud.features f JOIN fraud.spine s USING (transaction_id) "
            "WHERE f.event_time >= ? AND f.event_time < ? AND s.label IS NOT NULL AND s.label_known_at <= ? "
            "ORDER BY f.event_time, f.transaction_id",
            [moment.to_pydatetime() for moment in span],
        ).df()
    schema = load_contract(uc.folder, uc.spec.contract.module, "features")
    good = check_rows(schema, rows, key=uc.spec.entity_keys).good.to_pandas()
    good = good.merge(rows[["transaction_id", "label", "label_known_at"]], on="transaction_id")
    split = split_by_time(good["event_time"], declared, as_of)
    frozen = good.assign(part=np.select([split.train, split.tune, split.test], ["train", "tune", "test"], "gap"))
    done = script.lake.commit(lambda con: replace_table(con, "fraud.training_set", frozen), "training set")
    return frozen, done.snapshot


def train(script: Script, candidate: Any, rows: Any, snapshot: int) -> tuple[Any, str]:
    """The trained candidate and its MLflow run."""
    import mlflow

    from mlplatform.ml.train import train_candidate

    mlflow.set_tracking_uri(script.home.mlflow_uri)
    if mlflow.get_experiment_by_name("fraud") is None:
        mlflow.create_experiment("fraud", artifact_location=(script.home.mlflow / "artifacts").as_uri())
    mlflow.set_experiment("fraud")
    training = script.uc.spec.training
    with mlflow.start_run(run_name=candidate.name) as run:
        result = train_candidate(rows, candidate, training, event_time="event_time", as_of=script.as_of)
        mlflow.log_params({**result.params, "features": len(result.model.features), **result.boundaries})
        for part, judged in (("tune", result.tune), ("test", result.test)):
            mlflow.log_metrics({f"{part}_{name}": value for name, value in judged.flat().items()})
        for trial in result.trials:
            mlflow.log_metric("trial_value", trial.value, step=trial.number)
        mlflow.log_dict({"snapshot": snapshot}, "dataset.json")
        with tempfile.TemporaryDirectory() as made:
            write_artifacts(result, rows[rows["part"] == "test"], training.label, Path(made))
            mlflow.log_artifacts(made)
        return result, run.info.run_id


def write_artifacts(result: Any, test: Any, label: str, folder: Path) -> None:
    import numpy as np

    from mlplatform.ml import class_plots, plots

    labels, matrix = test[label].to_numpy(dtype=np.int64), result.model.matrix(test)
    scores, shown = result.model.predict(matrix), matrix[:800]
    contributions = result.model.explain(shown)
    pictures = {
        "precision_recall": class_plots.plot_precision_recall(labels, scores, result.model.head.threshold),
        "calibration": class_plots.plot_calibration(labels, scores),
        "importance": plots.plot_importance(result.importance),
        "contributions": plots.plot_contributions(contributions, shown, result.model.features),
    }
    result.model.save(folder / "model")
    (folder / "model" / "importance.json").write_text(json.dumps(dict(result.importance)))
    for name, png in pictures.items():
        (folder / f"{name}.png").write_bytes(png)


def promote(script: Script, trained: dict[str, tuple[Any, str]], rows: Any, snapshot: int) -> tuple[str, int]:
    import mlflow

    from mlplatform.ml.compare import compare

    training = script.uc.spec.training
    judged = compare(
        {name: result.model for name, (result, _) in trained.items()},
        None,
        rows[rows["part"] == "test"],
        training,
        event_time="event_time",
    )
    assert judged.winner is not None, judged.verdict
    client, (_, run_id) = mlflow.MlflowClient(), trained[judged.winner]
    client.create_registered_model("fraud")
    source = f"{client.get_run(run_id).info.artifact_uri}/model"
    made = client.create_model_version("fraud", source, run_id, tags={"training_snapshot": str(snapshot)})
    client.set_registered_model_alias("fraud", "champion", made.version)
    return judged.winner, int(made.version)


def package(script: Script, result: Any, run_id: str, version: int, snapshot: int) -> Any:
    from mlplatform.contracts.load import load_contract
    from mlplatform.contracts.rules import describe, dump_rules
    from mlplatform.serving.build import build_bento
    from mlplatform.serving.bundle import write_manifest

    uc, features = script.uc, script.uc.spec.training.features
    with script.lake.read(snapshot) as con:
        reference = con.execute(
            f"SELECT {', '.join(_watched(script))} "
            "FROM (FROM fraud.training_set WHERE part IN ('train', 'tune') ORDER BY ALL) "
            f"USING SAMPLE reservoir({uc.spec.drift.sample_rows} ROWS) REPEATABLE (7)"
        ).df()
    rules = describe(load_contract(uc.folder, uc.spec.contract.module, "features"))
    with tempfile.TemporaryDirectory() as made:
        bundle = Path(made) / "bundle"
        result.model.save(bundle)
        (bundle / "importance.json").write_text(json.dumps(dict(result.importance)))
        (bundle / "contract.json").write_text(dump_rules([rule for rule in rules if rule.name in features]))
        reference.to_parquet(bundle / "reference.parquet", index=False)
        shutil.copyfile(script.home.feature_query("fraud"), bundle / "feature_query.json")
        write_manifest(bundle, "fraud", version, {"mlflow_run_id": run_id})
        return build_bento(bundle, "fraud", version)


def deploy(script: Script, built: Any, version: int) -> None:
    import pandas as pd

    from mlplatform.lake.tables import append_rows
    from mlplatform.serving.bundle import verify_bundle
    from mlplatform.serving.pointer import Pointer, write_pointer

    verify_bundle(built.bundle)
    now = datetime.now(UTC)
    row = pd.DataFrame({"deployed_at": [now.replace(tzinfo=None)], "bento": [built.tag], "model_version": [version]})
    script.lake.commit(lambda con: append_rows(con, "fraud.deployment", row), "deploy")
    pointer = Pointer("fraud", built.tag, str(version), str(built.bundle), now.isoformat(timespec="seconds"))
    write_pointer(script.home.deployment("fraud"), pointer)


def measure_drift(script: Script, built: Any, version: int) -> list[Any]:
    import pandas as pd

    from mlplatform.lake.tables import merge_rows
    from mlplatform.ml.decision import WindowEvidence
    from mlplatform.ml.design_effect import time_blocks
    from mlplatform.ml.drift import find_drift
    from mlplatform.ml.evidently_report import write_evidently_report
    from mlplatform.ml.model import Model
    from mlplatform.ml.model_drift import answers, explain, explanation_drift, prediction_drift
    from mlplatform.ml.root_cause import find_causes

    drift, columns = script.uc.spec.drift, script.uc.spec.training.features
    model, reference = Model.load(built.bundle), pd.read_parquet(built.bundle / "reference.parquet")
    importance = json.loads((built.bundle / "importance.json").read_text())
    known, days = answers(model, reference), time_blocks(reference["event_time"], drift.window_days)
    step = pd.Timedelta(days=drift.window_days)
    windows, rows = [], []
    for number in range(script.uc.spec.policy.windows):
        end = script.as_of - number * step
        current, sample = window_rows(script, end - step, end)
        blocks, of_sample = ((days, time_blocks(each["event_time"], drift.window_days)) for each in (current, sample))
        result = find_drift(reference, current, drift, columns=columns, importance=importance, blocks=blocks)
        found = [result, prediction_drift(known, answers(model, sample), drift, of_sample)]
        windows.append(WindowEvidence(end - step, end, result.enough_rows, result.importance_share, result.drifted))
        if number == 0:
            few = drift.explained_rows
            old, new = explain(model, reference.head(few)), explain(model, sample.head(few))
            of_few = days[:few], of_sample[1][:few]
            found.append(explanation_drift(old, new, drift, importance, of_few))
            causes = find_causes(old, new, script.uc.spec.training.gates.slices)
            page = script.home.reports / "fraud" / "drift.html"
            write_evidently_report(page, reference, sample, drift, columns=columns)
        for kind, each in zip(("data", "prediction", "explanation"), found, strict=False):
            key = {"model_version": version, "window_end": end, "kind": kind}
            rows += [key | vars(column) for column in each.columns]
    key = ["model_version", "window_end", "kind", "column"]
    script.lake.commit(lambda con: merge_rows(con, "fraud.drift_report", pd.DataFrame(rows), key), "drift")
    moved = pd.DataFrame([{"window_end": script.as_of} | vars(cause) for cause in causes.columns])
    script.lake.commit(lambda con: merge_rows(con, "fraud.drift_causes", moved, ["window_end", "column"]), "causes")
    return windows


def window_rows(script: Script, start: Any, end: Any) -> tuple[Any, Any]:
    """All rows of a window, and a sample of them."""
    asked = f"SELECT {', '.join(_watched(script))} FROM fraud.features WHERE event_time >= ? AND event_time < ?"
    sample = f"ORDER BY hash(transaction_id), transaction_id LIMIT {script.uc.spec.drift.sample_rows}"
    with script.lake.read() as con:
        times = [start.to_pydatetime(), end.to_pydatetime()]
        return con.execute(asked, times).df(), con.execute(f"{asked} {sample}", times).df()


def _watched(script: Script) -> list[str]:
    training = script.uc.spec.training
    return [*training.features, "event_time", *training.gates.slices]


def decide(script: Script, windows: list[Any], version: int, training_seconds: float) -> None:
    import pandas as pd

    from mlplatform.lake.tables import merge_rows
    from mlplatform.ml.decision import Champion
    from mlplatform.ml.decision import decide as weigh

    champion = Champion(str(version), script.as_of, training_seconds)
    policy = script.uc.spec.policy
    decision = weigh("fraud", windows, policy, as_of=script.as_of, champion=champion, new_labelled_rows=0)
    row = pd.DataFrame([{"decision_id": decision.decision_id, "verdict": decision.verdict, "reason": decision.reason}])
    script.lake.commit(lambda con: merge_rows(con, "fraud.retrain_decision", row, ["decision_id"]), "decision")


if __name__ == "__main__":
    main()
