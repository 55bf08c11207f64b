"""Thin Dagster resources over the lake, MLflow and Bento. Heavy imports live inside methods."""
