"""Equal work for all contenders: a copy of the platform whose searches end by trials, never by the clock."""

import compileall
import shutil
from pathlib import Path
from typing import Any

import yaml

import mlplatform

__all__ = ["SIZES", "copy_platform"]

SIZES = ("small", "full")
NEVER = 3600.0
_PARTS = ("mlplatform", "dbt_project", "benchmarks", "pyproject.toml", "workspace.yaml")


def copy_platform(folder: Path, size: str) -> Path:
    """Copy package, dbt project and benchmarks, with the changed declaration of fraud, to `folder`.

    `small`: 400 customers, 800 terminals, 100 days, 2 trials, undemanding gates. `full`: as declared.
    """
    checkout = Path(mlplatform.__file__).parent.parent
    for name in _PARTS:
        source = checkout / name
        if source.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "target", "logs")
            shutil.copytree(source, folder / name, ignore=unwanted)
        else:
            shutil.copyfile(source, folder / name)
    declared = folder / "mlplatform" / "use_cases" / "fraud" / "defs.yaml"
    content = yaml.safe_load(declared.read_text())
    _by_trials(content["attributes"])
    if size == "small":
        _shrink(content["attributes"])
    declared.write_text(yaml.safe_dump(content, sort_keys=False))
    # Nobody's first start is measured.
    compileall.compile_dir(folder, quiet=1)
    return folder


def _by_trials(fraud: dict[str, Any]) -> None:
    for candidate in fraud["training"]["candidates"]:
        if candidate["kind"] != "ensemble":
            candidate.setdefault("tuning", {})["seconds"] = NEVER


def _shrink(fraud: dict[str, Any]) -> None:
    source, training = fraud["sources"][0], fraud["training"]
    source["params"] |= {"days": 100, "customers": 400, "terminals": 800}
    source["end"] = "2018-07-09"
    for candidate in training["candidates"]:
        if candidate["kind"] != "ensemble":
            candidate["tuning"]["trials"] = 2
    training["gates"] |= {"floor": 0.1, "slice_floor": 0.0, "max_calibration_error": 0.3}
