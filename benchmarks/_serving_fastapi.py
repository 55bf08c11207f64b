"""The peer "bare FastAPI": no validation beyond types, no explanation, the same fast C path, uvicorn."""

import os
from pathlib import Path

import lightgbm
import numpy as np
from fastapi import FastAPI

from mlplatform.ml.fast_row import FastRow

app = FastAPI()
booster = lightgbm.Booster(model_file=Path(os.environ["BENCHMARK_MODEL"]) / "model.txt")
features = booster.feature_name()
fast = FastRow(booster.model_to_string())


@app.post("/predict")
async def predict(row: dict[str, float]) -> dict[str, float]:
    values = np.array([[row[name] for name in features]])
    return {"score": float(1 / (1 + np.exp(-fast.raw(values)[0])))}


@app.post("/predict_rows")
async def predict_rows(body: dict[str, list[dict[str, float]]]) -> dict[str, list[float]]:
    values = np.array([[row[name] for name in features] for row in body["rows"]])
    return {"scores": booster.predict(values, num_threads=1).tolist()}
