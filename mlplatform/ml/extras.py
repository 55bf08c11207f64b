"""Libraries that are installed only by who wants them."""

from importlib.util import find_spec

from mlplatform.errors import TrainingError

__all__ = ["require_extra"]


def require_extra(extra: str, modules: tuple[str, ...], candidate: str) -> None:
    """Raise TrainingError with what to install when a module that `candidate` needs is missing."""
    if missing := [module for module in modules if find_spec(module) is None]:
        raise TrainingError(
            f"candidate {candidate} needs {' and '.join(missing)}, which is not installed here; "
            f"install the extra: pip install 'mlplatform[{extra}]'"
        )
