"""The kinds of sources, each read into Arrow. No Dagster here."""
