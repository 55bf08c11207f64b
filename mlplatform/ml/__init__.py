"""Splits, metrics, tuning, trainers, calibration, explanations, drift, gates, decisions. No Dagster, no MLflow here."""
