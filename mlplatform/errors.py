"""The errors a person may meet. Each message says what was wrong, where, and what to do."""

__all__ = [
    "AlertError",
    "ArtifactError",
    "ContractError",
    "DiskFullError",
    "LakeBusyError",
    "LakeError",
    "LeakageError",
    "MissingExtraError",
    "PlatformError",
    "ScaffoldError",
    "SecurityError",
    "SourceError",
    "SpecError",
    "TrainingError",
]


class PlatformError(Exception):
    """Base of every error raised on purpose."""


class SpecError(PlatformError):
    """A declaration (defs.yaml and its Python files) cannot be understood."""


class ScaffoldError(PlatformError):
    """A table that no use case can be made from as it is, or a folder that is there already."""


class SourceError(PlatformError):
    """A source cannot be read as a whole: missing column, truncated file, nothing there."""


class MissingExtraError(SourceError):
    """A source needs an optional extra that is not installed: nothing is wrong, it is only not to be had here."""


class ContractError(PlatformError):
    """More rows broke the data contract than the use case allows."""


class LakeError(PlatformError):
    """The lake refused a read or a write."""


class LakeBusyError(LakeError):
    """Another process held the write lock longer than the caller was ready to wait."""


class LeakageError(PlatformError):
    """A feature row could not be rebuilt from what was known at its own time."""


class TrainingError(PlatformError):
    """A model cannot be trained or compared on the rows that were given."""


class ArtifactError(PlatformError):
    """A packaged model is incomplete, was changed, or cannot be loaded."""


class SecurityError(PlatformError):
    """A key, a token setting or a signature cannot be used, or a service would be open to anybody."""


class AlertError(PlatformError):
    """A message to people was not delivered; the platform goes on."""


class DiskFullError(PlatformError):
    """There is too little space to start anything that writes."""
