"""A service with API keys under hostile requests: from its OpenAPI document by schemathesis, and made by hand.

`python -m benchmarks.fuzz [--json] [--seconds 60] [--schemathesis <environment>]`: a virtual environment that has
schemathesis (`pip install schemathesis`), since its pins are not ours; without one that part is left out, and the
output says so. No answer may be a server error, nothing may crash, nothing may hang.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]

from benchmarks._fuzz_client import Outcomes, send_all
from benchmarks._fuzz_corpus import corpus, mutations
from benchmarks._serving_score import ScoreService, score_service
from benchmarks._serving_stacks import free_port
from mlplatform.home import Home
from mlplatform.serving.api_keys import create_key

SEED = 0
_CASES = re.compile(r"(\d[\d,]*) (?:test cases? )?generated")
_ERRORS = ('"level":"error"', "Traceback (most recent call last)", "Exception in ASGI application")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=60.0, help="of schemathesis, and of changed bytes")
    parser.add_argument("--schemathesis", type=Path, help="a virtual environment that has schemathesis")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-fuzz-") as made:
        folder = Path(made)
        home = Home(folder / "score-home")
        key = create_key(home.api_keys("fraud"), "fuzz")
        with score_service(folder, free_port()) as service:
            found = run(service, key, given.seconds, given.schemathesis)
        found["errors_in_the_log"] = errors_in_log(home)
    for name, value in found.items():
        print(f"{name:32} {value}")
    if given.json:
        print(json.dumps(found))
    if any(found[name] for name in ("server_errors", "crashes", "hangs", "errors_in_the_log")):
        sys.exit("the service did not withstand it")


def run(service: ScoreService, key: str, seconds: float, schemathesis: Path | None) -> dict[str, Any]:
    """The three parts, one after the other; then whether it still answers as before."""
    url = f"http://127.0.0.1:{service.port}"
    workers = worker_pids(service)
    with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=30, trust_env=False) as client:
        good = good_bodies(client)
        before = {route: answer(client, route, body) for route, body in good.items()}
        by_hand, changed = Outcomes(), Outcomes()
        asyncio.run(send_all(service.port, corpus(good, key), by_hand))
        asyncio.run(send_all(service.port, mutations(good, key, SEED), changed, seconds))
        generated = run_schemathesis(schemathesis.resolve(), url, key, seconds) if schemathesis else {}
        after = {route: answer(client, route, body) for route, body in good.items()}
        refused = dict(re.findall(r'refused_total\{reason="(\w+)".*?\} ([\d.]+)', client.get("/metrics").text))
    both = (by_hand, changed)
    return {
        "cases_by_hand": by_hand.cases,
        "cases_of_changed_bytes": changed.cases,
        "cases_of_schemathesis": generated.get("cases", "not run"),
        "failures_of_schemathesis": generated.get("failures", "not run"),
        "statuses": {str(status): n for status, n in sorted((by_hand.statuses + changed.statuses).items())},
        "closed_without_answer": sum(each.closed for each in both),
        "server_errors": [*by_hand.server_errors, *changed.server_errors, *generated.get("server_errors", [])],
        "crashes": int(worker_pids(service) != workers) + sum(after[route] != before[route] for route in good),
        "hangs": [name for each in both for name in each.hangs],
        "slowest_seconds": round(max(each.slowest for each in both), 2),
        "turned_away": refused,
        "memory_gib": round(service.memory_gib(), 2),
    }


def good_bodies(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Route -> a body that it answers, out of the document itself."""
    document = client.get("/openapi.json").raise_for_status().json()

    def example(path: str, name: str) -> dict[str, Any]:
        media = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        found: dict[str, Any] = media["examples"][name]["value"] if "examples" in media else media["example"]
        return found

    infer = "/v2/models/fraud/infer"
    return {
        "/predict": {**example("/predict", "one"), "explain": False},
        "/predict_rows": example("/predict_rows", "many"),
        # It has not happened, so that asking again gives the same.
        "/score": {**example("/score", "one"), "explain": False, "remember": False},
        infer: example(infer, ""),
    }


def answer(client: httpx.Client, route: str, body: dict[str, Any]) -> Any:
    """But for what differs each time."""
    content = client.post(route, json=body).raise_for_status().json()
    return {name: value for name, value in content.items() if name not in ("request_id", "parameters")}


def worker_pids(service: ScoreService) -> set[int]:
    return {service.pid, *(each.pid for each in psutil.Process(service.pid).children(recursive=True))}


def run_schemathesis(environment: Path, url: str, key: str, seconds: float) -> dict[str, Any]:
    """Cases and failures as it counts them; the server errors among the failures."""
    with tempfile.TemporaryDirectory(prefix="bench-schemathesis-") as folder:
        done = subprocess.run(
            [
                *(environment / "bin" / "schemathesis", "run", f"{url}/openapi.json", "--no-color"),
                *("--header", f"X-API-Key: {key}", "--checks", "all", "--max-time", str(max(1, round(seconds)))),
                *("--continue-on-failure", "--generation-database", "none", "--seed", str(SEED)),
            ],
            # It leaves a cache where it runs.
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    print(done.stdout[done.stdout.find("SUMMARY") :])
    failures = re.findall(r"^\s*- (.+)$", done.stdout, re.MULTILINE)
    cases = _CASES.search(done.stdout)
    return {
        "cases": int(cases[1].replace(",", "")) if cases else 0,
        "failures": sorted(set(failures)),
        "server_errors": [each for each in failures if "Server error" in each],
    }


def errors_in_log(home: Home) -> int:
    """In the log of the service: none is meant to be there."""
    logs = (home.root / "logs").glob("serve-*.log")
    text = "".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)
    return sum(text.count(each) for each in _ERRORS)


if __name__ == "__main__":
    main()
