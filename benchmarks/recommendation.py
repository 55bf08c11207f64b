"""`python -m benchmarks.recommendation [--json]`: the recommendation use case beside three recommenders, on MovieLens.

100,004 ratings by 671 people (needs the extra `datasets`). Per person the last 20 % of ratings by time are held out;
what was rated 4 or better among them is right; whatever was rated before is left out of the lists; the whole catalogue
may be recommended (9,066 movies). Those who liked nothing in their last 20 % are not judged (658 are).

- NDCG@10, and recall@10 as found likes over the most that ten places can hold.
- Baselines on the first 80 % as implicit input: most popular, item-kNN (cosine, 100 neighbours), EASE (penalty 500).
- Ours: candidates, features and labels of the use case's own dbt models, the declared candidates trained as the
  platform trains them: on requests of earlier days, stopped on day 699; LightGBM once per seed, figures of the first.
- "anyone": what an unknown person is told, given to everybody, less what they have seen; beside most popular.
- Intervals: 95 %, bootstrap over people, the same draws for every method.

"""

import argparse
import json
from collections.abc import Mapping

import numpy as np

from benchmarks._recommendation_models import anyone, baselines, declared
from benchmarks._recommendation_protocol import PROTOCOL_DAY, Floats, HeldOut, build_tables
from mlplatform.ml.bootstrap import Estimate, difference, estimate
from mlplatform.spec import load_declaration

SAMPLES = 1000


def main() -> None:
    options = _options()
    training, tables = load_declaration("recommendation").spec.training, build_tables()
    held_out = HeldOut.after(tables.ratings, PROTOCOL_DAY)
    lists = baselines(tables.ratings)
    lists["LightGBM, declared"], model = declared(tables.rows, training, "lightgbm")
    lists["logistic, declared"], _ = declared(tables.rows, training, "logistic")
    lists["anyone, by LightGBM"] = anyone(tables.rows, model, held_out)
    found = {name: held_out.judge(ranked) for name, ranked in lists.items()}
    seeds = [found["LightGBM, declared"]]
    seeds += [held_out.judge(declared(tables.rows, training, "lightgbm", seed)[0]) for seed in range(1, options.seeds)]
    draws = {name: {what: _draws(v) for what, v in of.items()} for name, of in found.items()}
    _print(draws, len(held_out.people), seeds)
    if options.json:
        print(json.dumps(_figures(draws, seeds, len(held_out.people))))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of LightGBM, the declared one among them")
    return parser.parse_args()


def _draws(values: Floats) -> Floats:
    """The mean over people, first as they are, then drawn again, float64[SAMPLES + 1]."""
    chosen = np.random.default_rng(0).integers(0, len(values), (SAMPLES, len(values)))
    return np.append(values.mean(), values[chosen].mean(axis=1))


def _print(draws: Mapping[str, Mapping[str, Floats]], people: int, seeds: list[dict[str, Floats]]) -> None:
    ours = draws["LightGBM, declared"]
    print(f"{people} people, the last 20 % of each held out")
    print(f"{'':<22}{'NDCG@10':>24}{'recall@10':>24}{'LightGBM less this, NDCG':>28}")
    for name, of in draws.items():
        ahead = "" if of is ours else str(difference(ours["ndcg"], of["ndcg"], 0.95))
        told = "".join(f"{_told(estimate(of[what], 0.95)):>24}" for what in ("ndcg", "recall"))
        print(f"{name:<22}{told}{ahead:>28}")
    means = [seed["ndcg"].mean() for seed in seeds]
    print(f"LightGBM over {len(means)} seeds: NDCG@10 {min(means):.4f} to {max(means):.4f}, mean {np.mean(means):.4f}")


def _told(found: Estimate) -> str:
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def _figures(
    draws: Mapping[str, Mapping[str, Floats]], seeds: list[dict[str, Floats]], people: int
) -> dict[str, object]:
    keys = {
        "LightGBM, declared": "",
        "most popular": "most_popular_",
        "item-kNN": "item_knn_",
        "EASE": "ease_",
        "logistic, declared": "logistic_",
        "anyone, by LightGBM": "anyone_",
    }
    figures: dict[str, object] = {"people": people}
    for name, prefix in keys.items():
        for what in ("ndcg", "recall"):
            one = estimate(draws[name][what], 0.95)
            figures[f"{prefix}{what}_10"] = round(one.value, 5)
            figures[f"{prefix}{what}_10_interval"] = [round(one.low, 5), round(one.high, 5)]
    figures["seeds_ndcg_10"] = [round(float(seed["ndcg"].mean()), 5) for seed in seeds]
    return figures


if __name__ == "__main__":
    main()
