"""`python -m benchmarks.demand [--json]`: the use cases demand and electricity beside statsforecast, on the same folds.

Rolling origins over the last weeks of each data set (needs the extras `datasets` and `bench`): at each origin a model
knows what was known then and forecasts the next 14 days (demand: 32 pizzas, 7 origins, 14 days apart) or the next 48
half-hours (electricity: 4 folds of 14 days, an origin every fifth day). Features and parameters were chosen on origins
before these (`--until` shows any earlier ones). The platform's model is trained again at the first origin of each fold,
the peers at every origin.

Closed days count for nobody: nothing could be sold. Peers, who cannot have holes, see the week before in their place.
Temperatures: `electricity` declares none of the future, and that is the result. More lines show what forecasts would be
worth: made-up ones with an error of 2 degrees, and perfect foresight, which nobody has.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict

import pandas as pd

from benchmarks import _demand_models as ours
from benchmarks import _demand_peers as peers
from benchmarks._demand_figures import Figures, compared
from benchmarks._demand_panels import Panel, demand, electricity

MODEL = "lightgbm"
OURS = "LightGBM, declared"


def main() -> None:
    options = _options()
    found: dict[str, object] = {}
    if options.only != "electricity":
        pizzas = _demand(demand(options.until or "2015-12-18", 7))
        _print("demand: 32 pizzas, the next 14 days", pizzas)
        found |= _keys(pizzas, "")
    if options.only != "demand":
        power = _electricity(options.until or "2014-12-17")
        _print("electricity: the next 48 half-hours", power)
        found |= _keys(power, "electricity_")
    if options.json:
        print(json.dumps(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=["demand", "electricity"], help="one of the two")
    parser.add_argument("--until", help="the last fold's first origin, a date; with --only")
    return parser.parse_args()


def _demand(panel: Panel) -> dict[str, Figures]:
    made = {OURS: ours.forecasts(panel, MODEL), "ridge, declared": ours.forecasts(panel, "ridge")}
    return compared(panel, made | peers.forecasts(panel, peers.DAILY), OURS)


def _electricity(last: str) -> dict[str, Figures]:
    panel, foresight = electricity(last, 4), electricity(last, 4, error=0.0)
    told = {"temperature +- 2": panel, "temperature foreseen": foresight}
    made: dict[str, pd.DataFrame] = {OURS: ours.forecasts(panel, MODEL)}
    made |= {"ridge, declared": ours.forecasts(panel, "ridge")}
    made |= {f"LightGBM, {name}": ours.forecasts(rows, MODEL, ours.WEATHER) for name, rows in told.items()}
    made |= peers.forecasts(panel, peers.HALF_HOURLY)
    for name, rows in told.items():
        made |= peers.forecasts(rows, {f"MSTL, AutoARIMA, {name}": peers.WITH_FORECASTS})
    return compared(panel, made, OURS)


def _keys(found: Mapping[str, Figures], prefix: str) -> dict[str, object]:
    best = asdict(found[OURS])
    figures = {f"{prefix}{name}": best[name] for name in ("wape", "mase", "pinball", "coverage_80")}
    return {**figures, f"{prefix}models": {name: asdict(of) for name, of in found.items()}}


def _print(title: str, found: Mapping[str, Figures]) -> None:
    print(f"\n{title}\n", flush=True)
    print("| | WAPE | MASE | pinball | coverage of 80 % | WAPE less ours | better than ours at origins |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, of in found.items():
        behind = "" if of.behind_ours is None else "{:.4f} [{:.4f}, {:.4f}]".format(*of.behind_ours)
        rounded = f"{of.wape:.4f} | {of.mase:.3f} | {of.pinball:.4f} | {of.coverage_80:.3f}"
        print(f"| {name} | {rounded} | {behind} | {of.better_folds} |", flush=True)


if __name__ == "__main__":
    main()
