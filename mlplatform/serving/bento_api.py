"""What `@bentoml.api` answers: the rows of /predict for BentoML's own clients."""

import logging
from http import HTTPStatus
from typing import Any

from mlplatform.serving.endpoint import Predict
from mlplatform.serving.request import RefusedError, as_rows, request_id

__all__ = ["answer_rows"]

logger = logging.getLogger(__name__)


async def answer_rows(predict: Predict, rows: list[dict[str, Any]], explain: bool) -> dict[str, Any]:
    """As POST /predict with {"rows": …} answers. Raises BentoMLException where the rows are wrong."""
    from bentoml.exceptions import BentoMLException

    identity = request_id(None)
    try:
        reply = await predict.answer_other(lambda _: as_rows(rows, explain), identity)
    except RefusedError as refused:
        raise BentoMLException(refused.sentence(), error_code=HTTPStatus(refused.status)) from None
    except Exception:  # BentoML tells the client nothing of it, and the log gets the rest
        logger.exception("Request %s failed", identity, extra={"event": "request_failed", "request_id": identity})
        raise
    return {**reply.content, "model": reply.parts[0].live.describe(), "request_id": identity}
