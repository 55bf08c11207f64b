"""The reason that a person gives for what others will find later."""

from mlplatform.errors import SpecError

__all__ = ["require_reason"]


def require_reason(reason: str) -> None:
    """Raises SpecError if it says nothing."""
    if not reason.strip():
        raise SpecError("--reason must say why: somebody will ask")
