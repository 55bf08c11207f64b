"""The Dagster component that turns a declaration into the asset graph."""
