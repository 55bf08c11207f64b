"""The peer "BentoML as documented": `@bentoml.api`, a pydantic row in, a DataFrame to the model, a sync method."""

import os
from pathlib import Path
from typing import Any

import bentoml
import lightgbm
import pandas as pd
from pydantic import BaseModel, create_model

FOLDER = Path(os.environ["BENCHMARK_MODEL"])
FEATURES = lightgbm.Booster(model_file=FOLDER / "model.txt").feature_name()
Row: type[BaseModel] = create_model("Row", **dict.fromkeys(FEATURES, (float, ...)))  # type: ignore[call-overload]


@bentoml.service(http={"host": "127.0.0.1"})
class Documented:
    def __init__(self) -> None:
        self.model = lightgbm.Booster(model_file=FOLDER / "model.txt")

    @bentoml.api
    def predict(self, row: Row) -> dict[str, Any]:  # type: ignore[valid-type]
        frame = pd.DataFrame([row.model_dump()])  # type: ignore[attr-defined]
        return {"score": float(self.model.predict(frame)[0])}

    @bentoml.api
    def predict_rows(self, rows: list[Row]) -> dict[str, Any]:  # type: ignore[valid-type]
        frame = pd.DataFrame([row.model_dump() for row in rows])  # type: ignore[attr-defined]
        return {"scores": self.model.predict(frame).tolist()}
