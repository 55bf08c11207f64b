"""`mlplatform reproduce`: a registered model trained again from what was recorded of it, and compared."""

import click

from mlplatform.errors import SpecError
from mlplatform.home import Home
from mlplatform.lake.lake import Lake
from mlplatform.resources.tracking import Registered, Tracking
from mlplatform.spec import load_declaration

__all__ = ["reproduce"]


def reproduce(model: str) -> bool:
    """Rebuild `<use case>` (its champion) or `<use case>@<version>`; True when the result is identical.

    Raises:
        SpecError: there is no such use case or version.
        ArtifactError: the version's run lacks its recipe, or a field of it means nothing today.
        LakeError: the snapshot that it was trained on is gone.
    """
    from mlplatform.ml.recipe import compare_models
    from mlplatform.stages.trained import recipe_of

    name, _, version = model.partition("@")
    uc = load_declaration(name)
    tracking = Tracking()
    found = _registered(tracking, name, version)
    recipe = recipe_of(tracking, found.run_id)
    snapshot = int(found.tags["training_snapshot"])
    click.echo(f"{name} v{found.version}: candidate {recipe.candidate.name}, training set of snapshot {snapshot}")
    _tell_code_version(tracking, found, uc.spec.name)
    with Lake.at(Home.current()).read(snapshot) as con:
        frame = con.execute(f"FROM {name}.training_set").df()
    click.echo(f"training on {len(frame):,} rows, as of {recipe.as_of}")
    likeness = compare_models(tracking.model_folder(found.run_id), recipe.train(frame), frame)
    for file, equal in likeness.files.items():
        click.echo(f"  {file:<24} {'equal, byte for byte' if equal else 'DIFFERS'}")
    click.echo(f"  answers for {likeness.rows:,} rows: largest difference {likeness.largest_difference:.3g}")
    colour, text = ("green", "identical") if likeness.identical else ("red", "not identical")
    click.secho(text, fg=colour, bold=True)
    return likeness.identical


def _registered(tracking: Tracking, name: str, version: str) -> Registered:
    if version and not version.isdigit():
        raise SpecError(f"{name}@{version}: a version is a number, e.g. {name}@1")
    if not Home.current().mlflow_database.exists():
        raise SpecError(f"no model is registered in {Home.current().root} yet; run `mlplatform run {name}` first")
    found = tracking.version(name, int(version)) if version else tracking.champion(name)
    if found is None:
        known = ", ".join(str(each) for each in tracking.versions(name)) or "none"
        raise SpecError(f"{name} has no {f'version {version}' if version else 'champion'}; registered: {known}")
    return found


def _tell_code_version(tracking: Tracking, found: Registered, name: str) -> None:
    """Another code may give another model: then it should be said before, not guessed after."""
    from mlplatform.stages.trained import TRAINING_CODE, training_code

    then = tracking.client().get_run(found.run_id).data.params.get(TRAINING_CODE, "unknown")
    if then != (now := training_code()):
        click.secho(f"its training code was {then}, this is {now}: {name} is rebuilt with today's", fg="yellow")
