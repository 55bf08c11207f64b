"""Writes the folder of a use case, whole or not at all, and never over one that is there."""

from pathlib import Path
from tempfile import TemporaryDirectory

from mlplatform.contracts.load import load_contract
from mlplatform.errors import ScaffoldError
from mlplatform.scaffold.plan import Plan
from mlplatform.scaffold.write_contract import SOURCE, contract_text
from mlplatform.scaffold.write_defs import defs_text
from mlplatform.scaffold.write_models import model_texts
from mlplatform.spec import load_declaration

__all__ = ["require_absent", "texts", "write_use_case"]


def texts(plan: Plan) -> dict[str, str]:
    """Path in the folder -> text."""
    models = {f"models/{name}": text for name, text in model_texts(plan).items()}
    return {"defs.yaml": defs_text(plan), "contract.py": contract_text(plan), **models}


def require_absent(folder: Path) -> None:
    """Raises ScaffoldError where anything is at the place of the folder."""
    if folder.exists() or folder.is_symlink():
        raise ScaffoldError(f"{folder} is there already and nothing was changed; choose another name, or move it away")


def write_use_case(plan: Plan, folder: Path) -> list[Path]:
    """Write all files below `folder` (`.../use_cases/<name>`); the paths of the files.

    They are written beside it first and read as the platform will read them; then the folder appears at once.

    Raises:
        ScaffoldError: the folder is there already.
        SpecError: what was made cannot be read; nothing is written.
    """
    require_absent(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder of the use cases: what lies in it would be taken for one.
    with TemporaryDirectory(prefix=".mlplatform-new-", dir=folder.parent.parent) as beside:
        made = Path(beside) / folder.name
        for name, text in texts(plan).items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        declaration = load_declaration(folder.name, Path(beside))
        for table in (SOURCE, "features"):
            load_contract(declaration.folder, declaration.spec.contract.module, table).to_schema()
        for cache in made.rglob("__pycache__"):
            _remove(cache)
        try:
            made.rename(folder)
        except OSError as error:
            raise ScaffoldError(f"{folder} cannot be made: {error}") from error
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
