"""The peer "bare FastAPI": no validation beyond types, no explanation, numpy straight to the booster, uvicorn."""

import os
from pathlib import Path

import lightgbm
import numpy as np
from fastapi import FastAPI

app = FastAPI()
booster = lightgbm.Booster(model_file=Path(os.environ["BENCHMARK_MODEL"]) / "model.txt")
features = booster.feature_name()


@app.post("/predict")
async def predict(row: dict[str, float]) -> dict[str, float]:
    values = np.array([[row[name] for name in features]])
    return {"score": float(booster.predict(values, num_threads=1)[0])}
