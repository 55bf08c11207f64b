"""One folder declares a machine-learning use case; the platform runs its whole life cycle as Dagster assets."""

__version__ = "0.1.0"
