"""What `@bentoml.api` answers: the rows of /predict for BentoML's own clients."""

from http import HTTPStatus
from typing import Any

from mlplatform.serving.endpoint import Predict
from mlplatform.serving.request import Parsed, RefusedError, request_id

__all__ = ["answer_rows"]


async def answer_rows(predict: Predict, rows: list[dict[str, Any]], explain: bool) -> dict[str, Any]:
    """As POST /predict with {"rows": …} answers. Raises BentoMLException where the rows are wrong."""
    from bentoml.exceptions import BentoMLException

    identity = request_id(None)
    try:
        if not rows:
            raise RefusedError(422, '"rows" must be a list with at least one object of features')
        reply = await predict.answer_other(lambda _: Parsed(rows, explain, single=False), identity)
    except RefusedError as refused:
        wrong = [
            f"row {each['row']}, {each['field']} {each['problem']}" for each in refused.content.get("problems", [])
        ]
        sentence = "; ".join([str(refused), *wrong[:5]])
        raise BentoMLException(sentence, error_code=HTTPStatus(refused.status)) from None
    return {**reply.content, "model": reply.parts[0].live.describe(), "request_id": identity}
