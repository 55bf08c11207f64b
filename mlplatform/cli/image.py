"""`mlplatform image`: the folder that the image of a deployed bento is built from."""

from collections.abc import Sequence
from pathlib import Path

import click

from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.serving.pointer import read_pointer
from mlplatform.serving.recipe.write import write_recipe
from mlplatform.spec import load_declaration

__all__ = ["write_image"]


def write_image(use_case: str, folder: Path, image: str | None, extras: Sequence[str]) -> None:
    """Write the recipe of what is deployed.

    Raises PlatformError where nothing is deployed, or the folder is there already.
    """
    load_declaration(use_case)
    pointer = Home.current().deployment(use_case)
    if not pointer.exists():
        raise PlatformError(f"nothing is deployed for {use_case} yet; run `mlplatform run {use_case}` first")
    # The pointer names the bundle, which lies in src/bundle of its bento.
    recipe = write_recipe(Path(read_pointer(pointer).path).parents[1], folder, image, extras)
    click.echo(f"{recipe.tag}: {recipe.packages} packages, in {recipe.folder}")
    click.echo(f"  docker build -t {image or use_case} {recipe.folder} -f {recipe.folder / 'Containerfile'}")
