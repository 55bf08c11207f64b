"""The Dagster component that turns a declaration into the asset graph."""

from mlplatform.components.use_case import UseCase

__all__ = ["UseCase"]
