"""How often a champion that is no worse than its predecessor is taken back, and how soon one that is worse.

Two models score the same requests of 28 days, a fortieth of which are positives; labels come seven days late. Each
model sees the risk through noise of its own, so that equals differ by chance only; a worse champion sees it through
more.
Compared once, weekly or daily; beside the platform's rule: the 95 % paired interval below zero, at every look, as it
would be without a correction.

And the same before a label is there, where scores alone may take a champion back, which was promoted by what scores
like its own promise: equals, equals of which both are just at the least that may be, and a champion that has broken
down (it tells cases apart by a third as much). Beside the platform's rule: what is promised below what may be, at every
look, on whatever examples there are.
Run: python -m benchmarks.succession [--streams 200] [--labels | --estimates] [--json]
"""

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import mean

import numpy as np
import pandas as pd

from mlplatform.ml.challenge import PairedDifference, paired_difference
from mlplatform.ml.metrics import Floats
from mlplatform.ml.succession import Look, compare_successor
from mlplatform.ml.tasks import task_for
from mlplatform.spec.performance import Performance
from mlplatform.spec.rollback import Rollback
from mlplatform_tests.ml.data import training

RULE = Rollback()
DAYS, DELAY, DAILY = int(RULE.fresh_days), 7, 300
BEGIN = pd.Timestamp("2026-01-01")
LOOKS = {"once": [DAYS], "weekly": [14, 21, 28], "daily": [*range(DELAY + 1, DAYS + 1)]}


@dataclass(frozen=True)
class Stream:
    """One champion's fresh days: what each day's look found."""

    looks: dict[int, PairedDifference]

    def taken_back(self, days: list[int], corrected: bool) -> int | None:
        """The day on which it is, if any."""
        before = 0.0
        for day in days:
            found = self.looks[day]
            if not found.mature:
                continue
            level = Look(before, day / DAYS).level(RULE.false_alarms)
            before = day / DAYS
            if found.clearly_worse(level) if corrected else found.difference.high < 0:
                return day
        return None


def stream(noise: float, seed: int) -> Stream:
    """All daily looks at one stream; `noise`: the champion's, in units of the predecessor's."""
    random, rows = np.random.default_rng(seed), DAYS * DAILY
    risk = random.normal(-5, 1.7, rows)
    label = (random.random(rows) < 1 / (1 + np.exp(-risk))).astype(float)
    champion, predecessor = (1 / (1 + np.exp(-risk - random.normal(0, size, rows))) for size in (noise, 1.0))
    moment = BEGIN + pd.to_timedelta(np.sort(random.random(rows)) * DAYS, "D")
    declared = training()
    declared = declared.model_copy(update={"split": declared.split.model_copy(update={"label_delay_days": DELAY})})
    ripe = Performance(min_labelled=RULE.min_labelled)
    looks = {}
    for day in LOOKS["daily"]:
        as_of = BEGIN + pd.Timedelta(days=day)
        seen = int((moment < as_of).sum())
        frame = pd.DataFrame({"event_time": moment[:seen], "label": label[:seen]})
        frame.loc[frame["event_time"] > as_of - pd.Timedelta(days=DELAY), "label"] = np.nan
        looks[day] = paired_difference(
            frame, champion[:seen], predecessor[:seen], declared, ripe, event_time="event_time", as_of=as_of
        )
    return Stream(looks)


def table(noise: float, streams: list[Stream]) -> Iterator[dict[str, object]]:
    for often, days in LOOKS.items():
        for corrected in (True, False):
            ended = [s.taken_back(days, corrected) for s in streams]
            when = [day for day in ended if day is not None]
            yield {
                "noise": noise,
                "looks": often,
                "rule": "platform" if corrected else "95 % interval at each look",
                "taken_back": len(when) / len(streams),
                "mean_day": mean(when) if when else None,
            }


def promises(breadth: float, short: float, seed: int) -> dict[str, bool]:
    """Which rule takes a champion back for its scores; `breadth`: of what it says, 1 is its predecessor's; `short`:
    share of what it was promoted by that a sound model's scores promise now."""
    random, rows = np.random.default_rng(seed), DAYS * DAILY
    champion, predecessor = (_scores(random, rows, each) for each in (breadth, 1.0))
    frame = pd.DataFrame({"event_time": BEGIN, "label": np.full(rows, np.nan)})
    expected = EXPECTED / short
    least = (1 - RULE.estimate_guard) * expected
    promise = partial(task_for(training().task).promised, str(training().metric))

    def plain(seen: int) -> bool:
        return bool(promise(champion[:seen]) < least <= promise(predecessor[:seen]))

    before, day, taken = 0.0, 0, False
    while day < DAYS and not taken:
        day += 1
        told = compare_successor(
            frame[: day * DAILY],
            champion[: day * DAILY],
            predecessor[: day * DAILY],
            training(),
            Performance(),
            RULE,
            event_time="event_time",
            as_of=BEGIN,
            look=Look(before, day / DAYS),
            expected=expected,
        )
        before = before if np.isnan(told.level) else day / DAYS
        taken = told.verdict == "roll_back"
    return {
        "platform, daily": taken,
        "plain, daily": any(plain(day * DAILY) for day in range(1, DAYS + 1)),
        **{f"plain, one look at {seen}": plain(seen) for seen in (2, 100, 600)},
    }


def _scores(random: np.random.Generator, rows: int, breadth: float) -> Floats:
    """As `stream` has them of equals."""
    return np.asarray(1 / (1 + np.exp(5 - breadth * random.normal(0, np.hypot(1.7, 1), rows))))


def estimates(case: str, found: list[dict[str, bool]]) -> Iterator[dict[str, object]]:
    for rule in found[0]:
        yield {"champion": case, "rule": rule, "taken_back": mean(each[rule] for each in found)}


EXPECTED = task_for(training().task).promised(str(training().metric), _scores(np.random.default_rng(7), 500_000, 1.0))
"""What scores of a sound model promise."""
CASES = {"as good": (1.0, 1.0), "as good, both at the least": (1.0, 1 - RULE.estimate_guard), "broken": (0.33, 1.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--labels", action="store_true", help="only where labels come")
    which.add_argument("--estimates", action="store_true", help="only where none has come yet")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    with ProcessPoolExecutor(2) as pool:
        for noise in () if given.estimates else (1.0, 1.5, 3.0):
            rows += table(noise, list(pool.map(partial(stream, noise), range(given.streams))))
        for case, shape in () if given.labels else CASES.items():
            rows += estimates(case, list(pool.map(partial(promises, *shape), range(given.streams))))
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(*(f"{value:.3f}" if isinstance(value, float) else value for value in row.values()), sep="\t")


if __name__ == "__main__":
    main()
