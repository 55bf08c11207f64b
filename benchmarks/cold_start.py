"""From the start of a process to its first correct answer: slim, Lambda, BentoML, and a bare uvicorn with LightGBM.

Same model, same row, loopback; each with the packages of its own image, compiled, in the page cache; in turns, medians.
`python -m benchmarks.cold_start [--json] [--rounds 9]`
"""

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from importlib.metadata import distributions
from pathlib import Path

from benchmarks._cold_start_stacks import Stack, Started, bare, bentoml, first_answer, function, slim, write_bare
from benchmarks._serving_model import write_everything
from mlplatform.home import Home
from mlplatform.serving.build import build_bento
from mlplatform_tests.serving.image_tree import write_image_tree

TARGET = 3.0
"""Times of the bare one, at most."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-cold-start-")))
        home = Home(folder / "home")
        row = write_everything(folder)
        built = build_bento(folder / "bundle", "bench", 1, home=home)
        image, with_aws = (
            write_image_tree(built.path, folder / name, extras) for name, extras in (("slim", []), ("aws", ["aws"]))
        )
        peer = write_bare(folder / "bare")
        score = expected(folder / "plain" / "model.txt", row)
        stacks = [bare(peer, folder / "plain" / "model.txt"), slim(image), function(with_aws), bentoml(built.tag, home)]
        found = measure(stacks, row, score, given.rounds)
        sizes = {
            "bare": size(peer / "packages"),
            "slim": size(image.packages) + size(image.source.parent),
            "aws": size(with_aws.packages) + size(with_aws.source.parent),
            "platform": installed(),
        }
    print(table(found))
    print(f"megabytes installed: {', '.join(f'{name} {value:.0f}' for name, value in sizes.items())}")
    figures = figures_of(found, sizes)
    print(f"slim / bare = {figures['ratio_slim']:.2f} (target: at most {TARGET:g})")
    if given.json:
        print(json.dumps(figures))


def measure(stacks: list[Stack], row: dict[str, float], score: float, rounds: int) -> dict[str, list[Started]]:
    """Each stack in each round, one after the other; the first, unmeasured, counts imports and fills the page cache."""
    counted = {stack.name: first_answer(stack, row, score, profiled=True).modules for stack in stacks}
    found: dict[str, list[Started]] = {stack.name: [] for stack in stacks}
    for _ in range(rounds):
        for stack in stacks:
            once = first_answer(stack, row, score)
            found[stack.name].append(Started(once.seconds, once.megabytes, counted[stack.name]))
    return found


def expected(model: Path, row: dict[str, float]) -> float:
    """What LightGBM itself says, through the logistic function."""
    import lightgbm
    import numpy as np

    booster = lightgbm.Booster(model_file=model)
    raw = booster.predict(np.array([[row[name] for name in booster.feature_name()]]), raw_score=True)
    return 1 / (1 + math.exp(-float(np.asarray(raw)[0])))


def size(folder: Path) -> float:
    """Megabytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def installed() -> float:
    """Megabytes of all that is installed beside this platform, development included."""
    files: Iterable[Path] = (Path(str(file.locate())) for dist in distributions() for file in dist.files or ())
    return sum(path.stat().st_size for path in set(files) if path.is_file()) / 1e6


def table(found: dict[str, list[Started]]) -> str:
    head = f"{'stack':26} {'first answer s':>15} {'min..max':>14} {'x bare':>7} {'RSS MB':>8} {'modules':>8}"
    base = median(found["bare uvicorn + LightGBM"])
    lines = []
    for name, rounds in found.items():
        seconds = [once.seconds for once in rounds]
        memory = statistics.median(once.megabytes for once in rounds)
        spread = f"{min(seconds):.2f}..{max(seconds):.2f}"
        numbers = f"{median(rounds):15.3f} {spread:>14} {median(rounds) / base:7.2f} {memory:8.0f}"
        lines.append(f"{name:26} {numbers} {rounds[0].modules:8}")
    return "\n".join([head, "-" * len(head), *lines])


def median(rounds: list[Started]) -> float:
    return statistics.median(once.seconds for once in rounds)


def figures_of(found: dict[str, list[Started]], sizes: dict[str, float]) -> dict[str, float]:
    short = {"bare uvicorn + LightGBM": "bare", "slim": "slim", "Lambda handler": "lambda", "bentoml serve": "bentoml"}
    base = median(found["bare uvicorn + LightGBM"])
    figures = {f"image_mb_{name}": round(value, 1) for name, value in sizes.items()}
    for name, rounds in found.items():
        figures[f"seconds_{short[name]}"] = round(median(rounds), 3)
        figures[f"ratio_{short[name]}"] = round(median(rounds) / base, 2)
        figures[f"rss_mb_{short[name]}"] = round(statistics.median(once.megabytes for once in rounds), 1)
        figures[f"modules_{short[name]}"] = rounds[0].modules
    return figures


if __name__ == "__main__":
    main()
