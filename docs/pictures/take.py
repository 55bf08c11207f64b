"""Take the pictures of README and docs from a running `mlplatform up` with a finished fraud run.

    .venv/bin/python docs/pictures/take.py [--port 3000] [--only NAME]

Needs a Chromium: CHROMIUM names it, else `chromium` on the PATH.
"""

import argparse
import base64
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import dagster as dg
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from mlplatform.cli.serve import find_service
from mlplatform.home import Home

HERE = Path(__file__).parent
MOST_BYTES = 300_000
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Shot = Callable[[Page, int], None]


# Pictures that an asset of fraud holds, as they are: asset and key of the metadata.
DRAWN = {
    "performance": ("performance_report", "over_time"),
    "predictions": ("prediction_log", "over_time"),
    "drift-map": ("drift_report", "by_column_over_time"),
    "prediction-drift": ("drift_report", "predictions_over_time"),
    "drift-causes": ("drift_report", "what_moved_the_score"),
    "weighed": ("retrain_decision", "weighed"),
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--port", type=int, default=3000)
    asked.add_argument("--only", choices=sorted({*SHOTS, *DRAWN}))
    options = asked.parse_args()
    for name in DRAWN if options.only is None else {options.only} & set(DRAWN):
        write_drawn(name)
    if options.only in DRAWN:
        return
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        for name, shot in SHOTS.items():
            if options.only in (None, name):
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                shot(page, options.port)
                keep(page, HERE / f"{name}.png")
                page.close()
        browser.close()


def write_drawn(name: str) -> None:
    """The newest picture of an asset, out of Dagster's event log."""
    stage, key = DRAWN[name]
    with dg.DagsterInstance.from_config(str(Home.current().dagster)) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["fraud", stage]))
    made = event.asset_materialization if event else None
    found = re.search(r"base64,([A-Za-z0-9+/=]+)", str(made.metadata[key].value)) if made else None
    if found is None:
        raise SystemExit(f"fraud/{stage} has no picture {key}; run the use case, or replay some weeks of it, first")
    (HERE / f"{name}.png").write_bytes(base64.b64decode(found[1]))


def keep(page: Page, path: Path) -> None:
    """A palette of 256 colours: a third of the bytes."""
    dialog = page.locator(".bp5-dialog, .bp4-dialog")
    (dialog if dialog.count() else page).screenshot(path=path)
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {size:,} bytes{'' if size < MOST_BYTES else ', TOO LARGE'}")


def dagster(path: str, settle: float = 4) -> Shot:
    def shot(page: Page, port: int) -> None:
        page.goto(f"http://127.0.0.1:{port}{path}", wait_until="domcontentloaded", timeout=60_000)
        page.wait_for_timeout(settle * 1000)

    return shot


def graph(use_case: str, height: int = 760) -> Shot:
    """Wide and low, as the graph is; the navigation folded away."""

    def shot(page: Page, port: int) -> None:
        page.set_viewport_size({"width": 1760, "height": height})
        dagster(f"/locations/mlplatform/asset-groups/{use_case}/lineage", settle=3)(page, port)
        page.get_by_text("Hide navigation").click()
        page.wait_for_timeout(8000)

    return shot


def asset(name: str, view: str = "overview", use_case: str = "fraud") -> Shot:
    return dagster(f"/assets/{use_case}/{name}?view={view}", settle=8)


def pictures(name: str, which: int = 0, use_case: str = "fraud") -> Shot:
    """The asset's page with one of its pictures opened."""

    def shot(page: Page, port: int) -> None:
        asset(name, use_case=use_case)(page, port)
        page.get_by_text("[Show Markdown]").nth(which).click()
        page.wait_for_timeout(2500)

    return shot


def decision(page: Page, port: int) -> None:
    page.set_viewport_size({"width": 1440, "height": 1500})
    asset("retrain_decision")(page, port)
    page.get_by_text("Metadata", exact=True).first.scroll_into_view_if_needed()


def check(name: str, named: str) -> Shot:
    return dagster(f"/assets/fraud/{name}?view=checks&checkDetail={named}", settle=8)


def skip_reason(page: Page, port: int) -> None:
    dagster("/locations/mlplatform/sensors/fraud_retrain", settle=6)(page, port)
    page.get_by_text("0 runs requested").last.click()
    page.wait_for_timeout(2500)


def mlflow(page: Page, port: int) -> None:
    with sqlite3.connect(Home.current().mlflow / "mlflow.sqlite") as db:
        run, experiment = db.execute(
            "SELECT r.run_uuid, r.experiment_id FROM runs AS r JOIN experiments AS e USING (experiment_id) "
            "WHERE r.name = 'lightgbm' AND e.name = 'fraud' ORDER BY r.start_time DESC LIMIT 1"
        ).fetchone()
    page.goto(f"http://127.0.0.1:{port + 1}/#/experiments/{experiment}/runs/{run}/model-metrics", timeout=60_000)
    page.wait_for_timeout(8000)
    assistant = page.get_by_role("button", name="Close")
    if assistant.count():
        assistant.first.click()
        page.wait_for_timeout(1500)


def evidently(page: Page, port: int) -> None:
    newest = max((Home.current().reports / "fraud").rglob("drift-*.html"), key=lambda p: p.stat().st_mtime)
    page.goto(f"http://127.0.0.1:{port + 2}/{newest.relative_to(Home.current().reports)}", timeout=60_000)
    page.wait_for_timeout(5000)


def service(width: int, height: int) -> Shot:
    """A service's page with an answered request."""

    def shot(page: Page, port: int) -> None:
        page.set_viewport_size({"width": width, "height": height})
        page.goto(find_service("fraud", range(port + 3, port + 10)), timeout=60_000)
        page.get_by_role("button", name="Send").first.click()
        page.locator("#result .reasons").first.wait_for()
        page.locator("#result").scroll_into_view_if_needed()
        page.wait_for_timeout(500)

    return shot


SHOTS: dict[str, Shot] = {
    "graph": graph("fraud"),
    "graph-diagnosis": graph("diagnosis"),
    "graph-recommendation": graph("recommendation"),
    "graph-demand": graph("demand"),
    "groups": dagster("/asset-groups", settle=40),
    "forecasts": pictures("candidate_lightgbm", 0, "demand"),
    "error-by-horizon": pictures("candidate_lightgbm", 1, "demand"),
    "ndcg-by-place": pictures("candidate_lightgbm", 0, "recommendation"),
    "candidate": asset("candidate_lightgbm"),
    "precision-recall": pictures("candidate_lightgbm", 0),
    "calibration": pictures("candidate_lightgbm", 1),
    "importance": pictures("candidate_lightgbm", 3),
    "champion": pictures("champion"),
    "drift": pictures("drift_report", 0),
    "drift-over-time": pictures("drift_report", 1),
    "decision": decision,
    "check": check("champion", "incumbent"),
    "automation": dagster("/automation", settle=6),
    "sensor": skip_reason,
    "mlflow": mlflow,
    "evidently": evidently,
    "service": service(1280, 900),
    "service-phone": service(390, 844),
}

if __name__ == "__main__":
    main()
