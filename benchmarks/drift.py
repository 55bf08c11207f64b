"""Does drift alarm when nothing drifts, how soon does it when something does, and what does a million rows cost?

False alarms: 200 windows of 20 columns without drift at the platform's default setting; Evidently's default
(`DataDriftPreset()`) on the same windows. It has two alarms: any drifted column, which is what `false_alarm_rate`
counts too, and the data set's, half of the columns. Delay: one column drifts, by distances around the least that
counts (0.1); windows until it alarms, 1 is at once, those never found within 12 count as 12. `detection_delay` is the
mean over all kinds at the distances 0.15 and 0.3. Time: a window of a million rows against the reference that a bento
holds, all rows, Evidently beside it.

`ratio_to_evidently`: our seconds as a share of Evidently's.

    python -m benchmarks.drift [--json] [--windows 200] [--streams 10] [--rows 1000000]
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks import _drift_evidently as evidently
from benchmarks._drift_model import trained_on
from benchmarks._drift_streams import CATEGORIES, COLUMNS, REFERENCE_DAYS, WINDOW_DAYS, Drifted, World, stream
from mlplatform.ml.design_effect import time_blocks
from mlplatform.ml.drift import DriftResult, find_drift
from mlplatform.ml.model_drift import answers, explain, explanation_drift, prediction_drift
from mlplatform.spec.drift import Drift

SETTING = Drift()
KINDS = ("shift", "scale", "missing", "category swap", "gradual")
DISTANCES = (0.05, 0.15, 0.3)
LONGEST = 12
PER_REFERENCE = 20
COMPARED = 2
"""Windows of each case on which the whole preset is run, to see that `tested` says the same."""


@dataclass(frozen=True)
class Case:
    """A kind of window without drift."""

    name: str
    world: World
    rows: int
    reference_rows: int = SETTING.sample_rows


CASES = (
    Case("independent rows", World(), 1000),
    Case("500 rows, reference of 1,000", World(), 500, 1000),
    Case("10,000 rows", World(), 10_000),
    Case("days that differ a little", World(alike=0.02), 1000),
    Case("days that differ", World(alike=0.1), 1000),
    Case("days that differ, and last", World(alike=0.1, lasting=0.5), 1000),
)
"""The first is the headline. A correlation of 0.1 within a day: means of days differ by a third of a deviation."""


def ours(reference: pd.DataFrame, current: pd.DataFrame, blocks: bool = True) -> DriftResult:
    """As the asset calls it."""
    days = tuple(time_blocks(each["event_time"], WINDOW_DAYS) if blocks else None for each in (reference, current))
    return find_drift(
        reference, current, SETTING, columns=COLUMNS, categorical=list(CATEGORIES), blocks=(days[0], days[1])
    )


def false_alarms(case: Case, windows: int, seed: int) -> dict[str, float]:
    """Shares of windows that alarm; a new reference for every 20 windows, as a lucky one would be lucky 200 times."""
    random = np.random.default_rng(seed)
    alarms: dict[str, list[bool]] = {"ours": [], "without days": [], "any column": [], "data set": []}
    for number in range(windows):
        if number % PER_REFERENCE == 0:
            reference = case.world.rows(random, case.reference_rows, REFERENCE_DAYS)
        current = case.world.rows(random, case.rows, WINDOW_DAYS)
        theirs = evidently.tested(reference, current, COLUMNS)
        if number < COMPARED:
            assert evidently.report(reference, current) == theirs, "the preset says otherwise than its tests"
        alarms["ours"].append(bool(ours(reference, current).drifted))
        alarms["without days"].append(bool(ours(reference, current, blocks=False).drifted))
        alarms["any column"].append(any(theirs.values()))
        alarms["data set"].append(sum(theirs.values()) >= evidently.DATASET_SHARE * len(COLUMNS))
    return {name: float(np.mean(found)) for name, found in alarms.items()}


def model_false_alarms(windows: int, seed: int) -> dict[str, float]:
    """The same of a model's answers and explanations; the reference is what the model learned from."""
    random, world = np.random.default_rng(seed), World()
    alarms: dict[str, list[bool]] = {"predictions": [], "explanations": []}
    for number in range(windows):
        if number % PER_REFERENCE == 0:
            model, reference = trained_on(world, random, SETTING.sample_rows)
            known, explained = answers(model, reference), explain(model, reference.head(SETTING.explained_rows))
        current = world.rows(random, 1000, WINDOW_DAYS)
        found = prediction_drift(known, answers(model, current), SETTING)
        why = explanation_drift(explained, explain(model, current.head(SETTING.explained_rows)), SETTING)
        alarms["predictions"].append(bool(found.drifted))
        alarms["explanations"].append(bool(why.drifted))
    return {name: float(np.mean(found)) for name, found in alarms.items()}


Alarm = Callable[[pd.DataFrame, pd.DataFrame, str], bool]


def our_alarm(reference: pd.DataFrame, current: pd.DataFrame, column: str) -> bool:
    """All columns are tested, the one that drifts must be found."""
    return column in ours(reference, current).drifted


def their_alarm(reference: pd.DataFrame, current: pd.DataFrame, column: str) -> bool:
    """Evidently does not correct for the number of columns: one is enough."""
    return evidently.tested(reference, current, [column])[column]


def delays(alarm: Alarm, kind: str, distance: float, streams: int, world: World, seed: int) -> list[int]:
    """Windows until the alarm, of each stream; LONGEST + 1 where there was none."""
    found = []
    for number in range(streams):
        random = np.random.default_rng([seed, number])
        reference = world.rows(random, SETTING.sample_rows, REFERENCE_DAYS)
        windows = stream(world, random, 1000, kind, distance, LONGEST)
        column = Drifted(kind, distance).column
        hits = (at for at, current in enumerate(windows, 1) if alarm(reference, current, column))
        found.append(next(hits, LONGEST + 1))
    return found


def told(found: list[int]) -> str:
    """Mean of the found ones, and how many were not."""
    hits = [each for each in found if each <= LONGEST]
    missed = len(found) - len(hits)
    return (f"{np.mean(hits):.1f}" if hits else "never") + (
        f" ({missed} of {len(found)} not)" if hits and missed else ""
    )


Spent = tuple[float, float]
"""Seconds, and those of the processor: what is left when other work shares the cores."""


def million_rows(rows: int) -> dict[str, Spent]:
    """What a window of `rows` rows costs; the better of three, Evidently once."""
    random, world = np.random.default_rng(0), World()
    reference, current = world.rows(random, SETTING.sample_rows, REFERENCE_DAYS), world.rows(random, rows, WINDOW_DAYS)
    large = world.rows(random, rows, REFERENCE_DAYS)
    ours(reference, reference)  # imports
    return {
        "ours": min(_timed(lambda: ours(reference, current)) for _ in range(3)),
        "ours, reference as large": min(_timed(lambda: ours(large, current)) for _ in range(3)),
        "evidently": _timed(lambda: evidently.report(reference, current)),
    }


def _timed(work: Callable[[], object]) -> Spent:
    started, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - busy


def line(*values: object) -> str:
    return "| " + " | ".join(map(str, values)) + " |"


def main() -> None:
    given = _options()
    figures: dict[str, float] = {}
    print(line("no drift", "ours", "ours without days", "Evidently: any column", "Evidently: data set"), flush=True)
    print(line("---", *["---:"] * 4))
    for at, case in enumerate(CASES):
        found = false_alarms(case, given.windows, seed=at)
        print(line(case.name, *(f"{share:.1%}" for share in found.values())), flush=True)
        if at == 0:
            figures |= {"false_alarm_rate": found["ours"], "evidently_false_alarm_rate": found["any column"]}
            figures |= {"evidently_dataset_false_alarm_rate": found["data set"]}
    of_model = model_false_alarms(given.windows, seed=100)
    figures |= {f"false_alarm_rate_{name}": share for name, share in of_model.items()}
    print(line("model's answers", f"{of_model['predictions']:.1%}", "", "", ""))
    print(line("model's explanations", f"{of_model['explanations']:.1%}", "", "", ""), flush=True)

    print("", line("drift", "distance", "ours", "ours, days differ a little", "Evidently"), sep="\n")
    print(line("---", "---:", "---:", "---:", "---:"))
    counted: dict[str, list[int]] = {"ours": [], "evidently": []}
    for kind in KINDS:
        for distance in DISTANCES:
            mine = delays(our_alarm, kind, distance, given.streams, World(), seed=1)
            days = delays(our_alarm, kind, distance, given.streams, World(alike=0.02), seed=2)
            theirs = delays(their_alarm, kind, distance, given.streams, World(), seed=1)
            print(line(kind, distance, told(mine), told(days), told(theirs)), flush=True)
            if distance > SETTING.min_effect:
                counted["ours"] += mine
                counted["evidently"] += theirs
    means = {name: float(np.mean(np.minimum(found, LONGEST))) for name, found in counted.items()}
    figures |= {"detection_delay": means["ours"], "evidently_detection_delay": means["evidently"]}

    seconds = million_rows(given.rows)
    head = line(f"{given.rows:,} rows x {len(COLUMNS)} columns", "s", "CPU s")
    print("", head, line("---", "---:", "---:"), sep="\n")
    print(*(line(name, f"{wall:.2f}", f"{cpu:.2f}") for name, (wall, cpu) in seconds.items()), sep="\n", flush=True)
    names = {"million_rows": "ours", "million_rows_both": "ours, reference as large"}
    for name, of in (names | {"evidently_million_rows": "evidently"}).items():
        figures |= {f"{name}_s": seconds[of][0], f"{name}_cpu_s": seconds[of][1]}
    figures |= {"ratio_to_evidently": seconds["ours"][0] / seconds["evidently"][0]}
    if given.json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object at the end")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1_000_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
