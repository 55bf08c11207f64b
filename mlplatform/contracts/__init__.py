"""Pandera contracts: rows that pass, rows that do not and why, and the same rules as JSON. No Dagster here."""
