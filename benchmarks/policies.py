"""`python -m benchmarks.policies [--json]`: what each policy costs and gains, on two histories.

Replayed by the platform's own backtest (`mlplatform backtest`), window by window of seven days: drift, decision,
training and promotion as in the daily runs, without a search. Two histories:
- fraud: the simulator with 500 customers, 248 days; from day 150 on everybody spends three times as much. Labels come
  seven days late. The figures are means over the draws of `--seeds`.
- electricity: half-hours of Victoria in 2014, drift as it was (needs the extra `datasets`); the split is shortened so
  that 36 weeks are left to decide in.

The default policy is what a declaration without `policy.kind` has. Its `max_age_days` was chosen on electricity; seed 0
of the simulator was looked at on the way, the seeds 1 to 6 were not. Gain: the mean of the metric over all windows,
less that of never training again. Trainings count the first one, which all policies share.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks._policy_histories import History, electricity, fraud
from mlplatform.ml.backtest import Backtest, backtest, standard_policies
from mlplatform.ml.backtest_plots import plot_backtest
from mlplatform.spec import UseCase
from mlplatform.stages.code_version import code_version

COMPARED = ("never", "weekly", "drift", "performance", "combined")
DEFAULT = UseCase.model_fields["policy"].default.kind
DAYS, CUSTOMERS, DRIFT_FROM = 248, 500, 150


def main() -> None:
    options = _options()
    found: dict[str, Any] = {"default": DEFAULT}
    with TemporaryDirectory() as temp:
        folder = Path(options.folder or temp)
        if options.only != "electricity":
            draws = [_replay(fraud(DAYS, CUSTOMERS, DRIFT_FROM, seed), folder, options) for seed in options.seeds]
            found["fraud"] = _told("fraud, amounts times 3 from day 150", draws)
        if options.only != "fraud":
            found["electricity"] = _told("electricity", [_replay(electricity(), folder, options)])
    if options.json:
        print(json.dumps(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=["fraud", "electricity"], help="one of the two")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6], help="draws of the simulator")
    parser.add_argument("--jobs", type=int, default=None, help="processes at most; default: one for each core")
    parser.add_argument("--folder", help="keeps finished steps here, so that a run that was killed goes on")
    parser.add_argument("--pictures", help="writes a picture of each history to this folder")
    parser.add_argument("--verbose", action="store_true", help="a line for every window")
    return parser.parse_args()


def _replay(history: History, folder: Path, options: argparse.Namespace) -> Backtest:
    found = backtest(
        history.rows,
        history.spec,
        standard_policies(history.spec.policy, COMPARED),
        folder=folder / history.spec.name,
        version=code_version("ml", "spec"),
        jobs=options.jobs,
        progress=print if options.verbose else lambda _: None,
    )
    if options.pictures:
        (Path(options.pictures) / f"policies-{found.use_case}.png").write_bytes(plot_backtest(found))
    return found


def _told(title: str, draws: Sequence[Backtest]) -> dict[str, Any]:
    """Print one table; return its figures."""
    figures = {labels: _figures(draws, delayed) for labels, delayed in (("as they come", True), ("at once", False))}
    for labels, policies in figures.items():
        print(f"\n{title}, labels {labels}")
        print(f"{'policy':<14}{draws[0].metric:>20}{'gain':>9}{'trainings':>11}{'promoted':>10}{'seconds':>9}")
        for name, row in policies.items():
            print(
                f"{name:<14}{row['metric']:>20.4f}{row['gain']:>9.4f}{row['trainings']:>11.1f}"
                f"{row['promotions']:>10.1f}{row['seconds']:>9.0f}"
            )
        print(_ratios_line(policies))
    for number, draw in enumerate(draws, start=1):
        gains = ", ".join(f"{name} {draw.gain(name):.4f}" for name in COMPARED)
        print(f"draw {number}: gains with labels as they come: {gains}. Recommended: {draw.recommendation}")
    return {
        **figures,
        "draws": [{name: draw.gain(name) for name in COMPARED} for draw in draws],
        "ratios": {labels: ratios(policies) for labels, policies in figures.items()},
    }


def _figures(draws: Sequence[Backtest], delayed: bool) -> dict[str, dict[str, float]]:
    """Means over the draws, by policy."""
    return {
        name: {
            "metric": _mean([draw.of(delayed)[name].metric for draw in draws]),
            "gain": _mean([draw.gain(name, delayed) for draw in draws]),
            "trainings": _mean([draw.of(delayed)[name].trainings for draw in draws]),
            "promotions": _mean([draw.of(delayed)[name].promotions for draw in draws]),
            "seconds": _mean([draw.of(delayed)[name].seconds for draw in draws]),
        }
        for name in COMPARED
    }


def ratios(policies: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Of the default: the share of the gain that it keeps and of the trainings that it needs, beside the best policy
    and beside training every week."""
    best = max(policies, key=lambda name: (policies[name]["metric"], -policies[name]["trainings"]))
    chosen = policies[DEFAULT]
    found: dict[str, Any] = {"best": best}
    for against, name in (("best", best), ("weekly", "weekly")):
        other = policies[name]
        found[f"gain_kept_of_{against}"] = chosen["gain"] / other["gain"] if other["gain"] > 0 else float("nan")
        found[f"trainings_of_{against}"] = chosen["trainings"] / other["trainings"]
    return found


def _ratios_line(policies: Mapping[str, Mapping[str, float]]) -> str:
    found = ratios(policies)
    return (
        f"default {DEFAULT}: {found['gain_kept_of_best']:.0%} of the gain of the best ({found['best']}) with "
        f"{found['trainings_of_best']:.0%} of its trainings; {found['gain_kept_of_weekly']:.0%} of weekly's with "
        f"{found['trainings_of_weekly']:.0%}"
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


if __name__ == "__main__":
    main()
