"""What the platform costs: `mlplatform run fraud` beside one plain script and beside Dagster's default executor.

All three do equal work (same rows, same trials, same seed), each as a cold process on a fresh home, in turn; of the
rounds the quickest counts, for whatever else the machine does can only add. CPU time is shown too: it hardly depends on
what else runs.

    python -m benchmarks.overhead [--json] [--size small|full] [--rounds 2]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks._overhead_phases import PHASES, phases_of_run, phases_of_script
from benchmarks._overhead_watch import Watched, watch
from benchmarks._overhead_work import SIZES, copy_platform
from mlplatform.home import Home

SCRIPT, OURS, DEFAULT = "plain script", "mlplatform run", "default executor"
NOTES = "phases.json"
COMMANDS = {
    SCRIPT: ["-m", "benchmarks._overhead_script", NOTES],
    OURS: ["-c", "from mlplatform.cli import main; main()", "run", "fraud"],
    DEFAULT: ["-m", "benchmarks._overhead_default"],
}
IMPORTS = 9
LOAD = """
import time, dagster
begun = time.perf_counter()
from mlplatform.definitions import defs
defs().get_repository_def()
print(time.perf_counter() - begun)
"""


@dataclass(frozen=True)
class Outcome:
    """One contender in one round."""

    watched: Watched
    phases: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as made:
        folder = Path(made)
        platform = copy_platform(folder / "platform", given.size)
        rounds: dict[str, list[Outcome]] = {name: [] for name in COMMANDS}
        for number in range(given.rounds):
            for name in COMMANDS:
                home = Home(folder / f"home-{number}-{name.replace(' ', '-')}")
                rounds[name].append(run(name, platform, home))
                print(f"round {number + 1}, {name}: {rounds[name][-1].watched.seconds:.0f} s", file=sys.stderr)
        best = {name: min(outcomes, key=lambda o: o.watched.seconds) for name, outcomes in rounds.items()}
        least_cpu = {name: min(o.watched.cpu for o in outcomes) for name, outcomes in rounds.items()}
        # By now the home has a manifest of dbt's, as after `mlplatform setup`.
        load = load_seconds(environment_of(home, platform))
    imports = import_seconds()
    print(table(best, least_cpu))
    found = figures(best, least_cpu) | imports_compared(imports) | {"load_seconds": round(load, 2)}
    print("\n" + "\n".join(f"{name:26} {value:8.2f}" for name, value in found.items()))
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, size {given.size}, {given.rounds} rounds")
    if given.json:
        print(json.dumps(found))


def run(name: str, platform: Path, home: Home) -> Outcome:
    """One contender on a fresh home."""
    home.root.mkdir(parents=True)
    notes = home.root / NOTES
    command = [sys.executable, *(str(notes) if part == NOTES else part for part in COMMANDS[name])]
    watched = watch(command, environment_of(home, platform), platform, home.root / "output.log")
    phases = phases_of_script(notes, watched) if name == SCRIPT else phases_of_run(home, watched)
    return Outcome(watched, phases)


def environment_of(home: Home, platform: Path) -> dict[str, str]:
    """The copy is found before the installed package, also by dbt."""
    return {**os.environ, **home.environment(), "PYTHONPATH": str(platform), "PYTHONWARNINGS": "ignore"}


def import_seconds() -> dict[str, list[float]]:
    """Importing, each time in a cold process, the two in turn."""
    taken: dict[str, list[float]] = {"dagster": [], "mlplatform.definitions": []}
    for _ in range(IMPORTS):
        for module, seconds in taken.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
            seconds.append(time.perf_counter() - begun)
    return taken


def imports_compared(taken: dict[str, list[float]]) -> dict[str, float]:
    dagster, ours = (statistics.median(seconds) for seconds in taken.values())
    return {"import_ratio": round(ours / dagster, 2), "import_dagster_seconds": round(dagster, 2)}


def load_seconds(environment: dict[str, str]) -> float:
    """Building the definitions of all use cases, after `import dagster`."""
    command = [sys.executable, "-c", LOAD]
    done = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(3)
    ]
    return statistics.median(float(text.splitlines()[-1]) for text in done)


def figures(best: dict[str, Outcome], cpu: dict[str, float]) -> dict[str, float]:
    seconds = {name: outcome.watched.seconds for name, outcome in best.items()}
    return {
        "ratio_to_script": round(seconds[OURS] / seconds[SCRIPT], 3),
        "ratio_to_dagster_default": round(seconds[OURS] / seconds[DEFAULT], 3),
        "cpu_ratio_to_script": round(cpu[OURS] / cpu[SCRIPT], 3),
        "cpu_ratio_to_dagster_default": round(cpu[OURS] / cpu[DEFAULT], 3),
    }


def table(best: dict[str, Outcome], cpu: dict[str, float]) -> str:
    """Seconds per phase side by side, then the totals."""
    lines = [("seconds", *best), *((phase, *(_phase(o, phase) for o in best.values())) for phase in PHASES)]
    lines += [
        ("total", *(f"{outcome.watched.seconds:.1f}" for outcome in best.values())),
        ("CPU, all cores", *(f"{seconds:.1f}" for seconds in cpu.values())),
        ("peak memory, MiB", *(f"{outcome.watched.peak_mib:.0f}" for outcome in best.values())),
    ]
    rows = ["| " + " | ".join(f"{cell:>18}" for cell in line) + " |" for line in lines]
    rule = "|" + "|".join(" ---: " for _ in lines[0]) + "|"
    return "\n".join([rows[0], rule, *rows[1:]])


def _phase(outcome: Outcome, phase: str) -> str:
    return f"{outcome.phases.get(phase, 0.0):.1f}"


if __name__ == "__main__":
    main()
