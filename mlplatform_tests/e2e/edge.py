"""The live model of a use case as a device would have it, beside the service."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from click.testing import CliRunner

from mlplatform.cli import main
from mlplatform.home import Home
from mlplatform.serving.follow import load_live
from mlplatform.serving.pointer import read_pointer
from mlplatform_tests.serving.edge.bare import make_bare_python, run_runner

__all__ = ["answers_of_both"]

ROWS = 200


def answers_of_both(home: Home, use_case: str, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the exported runner and the service answer to rows of the reference sample, asked by features.

    The runner has a Python with numpy and onnxruntime, and nothing else.
    """
    told = CliRunner().invoke(main, ["export", use_case, "--out", str(folder / "edge")])
    assert told.exit_code == 0, told.output
    pointer = read_pointer(home.deployment(use_case))
    live = load_live(Path(pointer.path), pointer.bento)
    sample = pd.read_parquet(Path(pointer.path) / "reference.parquet")[list(live.bundle.model.features)]
    lines = sample.head(ROWS).to_json(orient="records", lines=True, date_format="iso", double_precision=15)
    done = run_runner(make_bare_python(folder / "python"), folder / "edge", lines)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in lines.splitlines()]
    device = [json.loads(line) for line in done.stdout.splitlines()]
    return [_flat(answer) for answer in device], [_flat(answer) for answer in live.predict(rows, explain=False)]


def _flat(answer: dict[str, Any]) -> dict[str, Any]:
    """Quantiles of a forecast, beside it: `pytest.approx` takes no dictionary in another."""
    return {**{name: value for name, value in answer.items() if name != "quantiles"}, **answer.get("quantiles", {})}
