"""What `@bentoml.api` gives to who calls it in the same process, such as another service of the same deployment."""

from typing import Any

from mlplatform.serving.endpoint import Predict
from mlplatform.serving.request import as_rows, request_id

__all__ = ["answer_rows"]


async def answer_rows(predict: Predict, rows: list[dict[str, Any]], explain: bool) -> dict[str, Any]:
    """As POST /predict_rows answers. Raises RefusedError, and as `Predict.reply` does."""
    identity = request_id(None)
    reply = await predict.answer_other(lambda _: as_rows(rows, explain), identity)
    return {**reply.content, **reply.parts[0].live.stamp, "request_id": identity}
