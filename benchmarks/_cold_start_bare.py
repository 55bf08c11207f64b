"""The peer "bare": uvicorn and LightGBM, as few lines as answer; no framework, no check, no page, no metrics."""

import json
import os
from typing import Any

import lightgbm
import numpy as np

booster = lightgbm.Booster(model_file=os.environ["BENCHMARK_MODEL"])
names = booster.feature_name()
booster.predict(np.zeros((1, len(names))), num_threads=1)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    row = json.loads((await receive())["body"])
    score = float(booster.predict(np.array([[row[name] for name in names]]), num_threads=1)[0])
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"score": score}).encode()})
