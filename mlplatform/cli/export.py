"""`mlplatform export`: a registered model as a folder that scores without the platform."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlplatform.cli.setup import prepare_home, use_home
from mlplatform.errors import SpecError
from mlplatform.home import Home
from mlplatform.spec import Declaration, load_declaration

if TYPE_CHECKING:
    from mlplatform.serving.edge.pack import EdgeBundle

__all__ = ["export_model"]


def export_model(name: str, out: Path | None, version: int | None) -> None:
    """Export the live version, or another registered one, and print what was compared.

    Raises:
        SpecError: there is no such use case, nothing is live, or there is no such version.
        ArtifactError: the model has no ONNX form, answers otherwise in it, or `out` holds something else.
    """
    from mlplatform.serving.edge.pack import pack_edge

    uc, home = load_declaration(name), Home.current()
    use_home(home)
    bundle, bento, number = _packaged(uc, home, version)
    target = (out or Path(f"{name}-v{number}-edge")).absolute()
    click.echo(f"{name} v{number}: exporting {bento}")
    _print(pack_edge(bundle, bento, target, _described(home, name)))


def _packaged(uc: Declaration, home: Home, version: int | None) -> tuple[Path, str, int]:
    """The bundle of a version, its bento's tag, and its number."""
    from mlplatform.serving.pointer import read_pointer

    name, pointer = uc.spec.name, home.deployment(uc.spec.name)
    live = read_pointer(pointer) if pointer.exists() else None
    if live is not None and version in (None, int(live.version)):
        return Path(live.path), live.bento, int(live.version)
    if version is None:
        raise SpecError(f"nothing is deployed for {name} yet; run `mlplatform run {name}` first, or name a --version")
    return _package(uc, home, version)


def _package(uc: Declaration, home: Home, version: int) -> tuple[Path, str, int]:
    from mlplatform.resources.lake import LakeResource
    from mlplatform.resources.tracking import Tracking
    from mlplatform.stages.bento import package_version

    name, tracking = uc.spec.name, Tracking()
    if not home.mlflow_database.exists():
        raise SpecError(f"no model is registered in {home.root} yet; run `mlplatform run {name}` first")
    registered = tracking.version(name, version)
    if registered is None:
        known = ", ".join(str(each) for each in tracking.versions(name)) or "none"
        raise SpecError(f"{name} has no version {version}; registered: {known}")
    prepare_home(home)
    built, _ = package_version(uc, registered, LakeResource(), tracking)
    return built.bundle, built.tag, version


def _described(home: Home, name: str) -> dict[str, str]:
    """What dbt says of the columns of the features, by name; nothing where no manifest was written yet."""
    path = home.dbt / "target" / "manifest.json"
    if not path.exists():
        return {}
    nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"].values()
    found = [node for node in nodes if node["name"] == f"{name}_features" and node["resource_type"] == "model"]
    columns = found[0]["columns"].values() if found else ()
    return {column["name"]: column["description"] for column in columns}


def _print(made: "EdgeBundle") -> None:
    parity, latency = made.parity, made.latency
    sizes = ", ".join(f"{name} {size / 1024:.1f}" for name, size in made.files.items())
    click.secho(f"  {made.folder}", bold=True)
    click.echo(f"  same answers as the service: {parity.rows:,} rows, {made.sampled:,} of them of the reference sample")
    click.echo(
        f"    largest difference {parity.largest:.2g}; {parity.refusals:,} rows refused, or not, word for word alike"
    )
    click.echo(f"  size: {sum(made.files.values()) / 1024:.0f} KiB ({sizes})")
    click.echo(f"  one row here: p50 {latency.p50:.3f} ms, p99 {latency.p99:.3f} ms")
    click.echo(f"  manifest: sha256 {made.digest}")
    click.echo(f"  python {made.folder}/runner.py < rows.jsonl    # needs numpy and onnxruntime only")
