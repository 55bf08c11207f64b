"""What `@bentoml.api` answers: the rows of /predict for BentoML's own clients."""

import logging
from typing import Any

from mlplatform.serving.endpoint import Predict
from mlplatform.serving.request import RefusedError, as_rows, request_id

__all__ = ["answer_rows"]

logger = logging.getLogger(__name__)


async def answer_rows(predict: Predict, rows: list[dict[str, Any]], explain: bool, response: Any) -> dict[str, Any]:
    """As POST /predict with {"rows": …} answers.

    `response`: BentoML's, of this request; it gets the status and the request id, by which the guard knows an answer of
    this platform. What BentoML itself writes of a wrong request may quote it, and is replaced.
    """
    identity = request_id(None)
    response.headers["x-request-id"] = identity
    try:
        reply = await predict.answer_other(lambda _: as_rows(rows, explain), identity)
    except RefusedError as refused:
        response.status_code = refused.status
        return {"error": refused.sentence(), "request_id": identity}
    except Exception:  # BentoML tells the client nothing of it, and the log gets the rest
        logger.exception("Request %s failed", identity, extra={"event": "request_failed", "request_id": identity})
        raise
    return {**reply.content, "model": reply.parts[0].live.describe(), "request_id": identity}
