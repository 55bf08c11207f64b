"""The Open Inference Protocol v2 over REST, as KServe and Triton speak it: same reader, same answers, journalled.

A tensor per feature, shape [n] or [n, 1], or one numeric tensor [n, features] in the model's order. NaN is null.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mlplatform.ml.heads import Classes, Probability, Quantiles
from mlplatform.serving import presence
from mlplatform.serving.column import Column
from mlplatform.serving.endpoint import Predict
from mlplatform.serving.outgoing import UNFORESEEN
from mlplatform.serving.request import Parsed, RefusedError, read_body, request_id
from mlplatform.serving.scoring import Live, ScoreError, Slot
from mlplatform.serving.tensors import LENGTH_HEADER, Asked, Tensor, read_request, write_answer

__all__ = ["REASONS_OUTPUT", "inference_routes", "model_metadata"]

logger = logging.getLogger(__name__)

REASONS_OUTPUT = "reasons"
"""Given only to who asks for it among the outputs: reasons cost more than the score."""
_DATATYPES = {"float": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}
_JSON_OR_RAW = (b"", b"application/json", b"application/octet-stream")


def inference_routes(slot: Slot, predict: Predict) -> list[Route]:
    """All of /v2. `predict`: what answers and journals."""

    async def server(_: Request) -> Response:
        version = slot.live.bundle.version if slot.live else ""
        return JSONResponse({"name": "mlplatform", "version": version, "extensions": ["binary_tensor_data"]})

    async def alive(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(request: Request) -> Response:
        return JSONResponse({"ready": True}) if slot.live else _told(request, {"ready": False}, 503)

    async def model(request: Request) -> Response:
        try:
            return JSONResponse(model_metadata(_named(slot, request.path_params)))
        except RefusedError as refused:
            return _told(request, {"error": str(refused)}, refused.status)

    async def model_ready(request: Request) -> Response:
        try:
            live = _named(slot, request.path_params)
        except RefusedError as refused:
            return _told(request, {"error": str(refused)}, refused.status)
        return JSONResponse({"name": live.bundle.use_case, "ready": True})

    infer = Infer(slot, predict)
    of_model = [
        route
        for place in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
        for route in (
            Route(place, model),
            Route(f"{place}/ready", model_ready),
            Route(f"{place}/infer", infer, methods=["POST"]),
        )
    ]
    probes = [Route("/v2", server), Route("/v2/health/live", alive), Route("/v2/health/ready", ready)]
    return [*probes, *of_model]


def _told(request: Request, content: Mapping[str, Any], status: int) -> Response:
    """A refusal of our own: by the id in its headers it is known as one, and goes out as it is (`Outgoing`)."""
    identity = request_id(dict(request.scope["headers"]).get(b"x-request-id"))
    return JSONResponse(content, status, {"x-request-id": identity, **({"retry-after": "1"} if status == 503 else {})})


class Infer:
    """POST …/infer. A class, so that Starlette takes it as a bare ASGI app."""

    def __init__(self, slot: Slot, predict: Predict) -> None:
        self._slot = slot
        self._predict = predict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: whatever happens, with JSON and a request id."""
        headers = dict(scope["headers"])
        identity = request_id(headers.get(b"x-request-id"))
        length: int | None = None
        try:
            live = _named(self._slot, scope["path_params"])
            asked = await self._asked(headers, receive, live)
            identity = identity if b"x-request-id" in headers else asked.id or identity
            status, (body, length) = 200, await self._for_client(receive, live, asked, identity)
        except presence.GoneError:
            return
        except RefusedError as refused:
            status, body = refused.status, _error(refused.sentence())
        except Exception as error:  # whatever fails, the client gets JSON with an id, and the log gets the rest
            logger.exception("Request %s failed", identity, extra={"event": "request_failed", "request_id": identity})
            status, body = 500, _error(str(error) if isinstance(error, ScoreError) else UNFORESEEN)
        answer = Response(body, status, media_type="application/json" if length is None else "application/octet-stream")
        answer.headers.update({"x-request-id": identity, "x-content-type-options": "nosniff"})
        if status == 503:
            answer.headers["retry-after"] = "1"
        if length is not None:
            answer.headers["inference-header-content-length"] = str(length)
        await answer(scope, receive, send)

    async def _asked(self, headers: Mapping[bytes, bytes], receive: Receive, live: Live) -> Asked:
        # Triton's client names no type.
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind not in _JSON_OR_RAW or headers.get(b"content-encoding", b"identity") != b"identity":
            raise RefusedError(415, "send JSON, or JSON with raw tensors behind it, not compressed")
        limits = self._predict.limits_of(live)
        body = await read_body(dict(headers), receive, limits.body_bytes)
        return read_request(body, headers.get(LENGTH_HEADER), limits, len(live.reader.names))

    async def _for_client(self, receive: Receive, live: Live, asked: Asked, identity: str) -> tuple[bytes, int | None]:
        client = presence.begin(receive)
        try:
            return await self._answer(live, asked, identity)
        finally:
            presence.end(client)

    async def _answer(self, live: Live, asked: Asked, identity: str) -> tuple[bytes, int | None]:
        offered = _output_names(live)
        wanted = dict.fromkeys(offered, asked.raw) if asked.outputs is None else asked.outputs
        strange = sorted(set(wanted) - {*offered, REASONS_OUTPUT})
        if strange:
            raise RefusedError(400, f"there is no such output; there are {', '.join((*offered, REASONS_OUTPUT))}")
        explain = REASONS_OUTPUT in wanted
        reply = await self._predict.answer_other(partial(_parsed, asked, explain), identity)
        stamp = reply.parts[0].live.stamp
        by, threshold = stamp["model"], {name: stamp[name] for name in ("threshold",) if name in stamp}
        head = {
            "model_name": by["use_case"],
            "model_version": by["version"],
            **({"id": asked.id} if asked.id else {}),
            "parameters": {"bento": by["bento"], "request_id": identity, **threshold},
        }
        outputs = {tensor.name: tensor for tensor in _tensors(live, reply.content["predictions"])}
        return write_answer(head, [(outputs[name], raw) for name, raw in wanted.items()])


def _named(slot: Slot, named: Mapping[str, str]) -> Live:
    """The live model, if it is what the path names; raises RefusedError."""
    live = slot.live
    if live is None:
        raise RefusedError(503, "no model is loaded yet; try again in a moment")
    if named["name"] != live.bundle.use_case:
        raise RefusedError(404, f"there is no such model here; {live.bundle.use_case} is served")
    if named.get("version", live.bundle.version) != live.bundle.version:
        raise RefusedError(404, f"version {live.bundle.version} is served; leave the version out to get what is live")
    return live


def _parsed(asked: Asked, explain: bool, live: Live) -> Parsed:
    """Tensors as rows of JSON values, which the contract's reader checks like any others."""
    by_name = {column.name: column for column in live.reader.columns}
    columns: dict[str, Sequence[Any]] = {}
    for tensor in asked.inputs:
        for name, values in _columns(tensor, live, by_name):
            if name in columns:
                raise RefusedError(400, "a feature comes twice among the inputs")
            columns[name] = values
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise RefusedError(400, "the inputs must have one and the same number of rows, at least one")
    return Parsed([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], explain, False)


def _columns(tensor: Tensor, live: Live, by_name: Mapping[str, Column]) -> Iterator[tuple[str, Sequence[Any]]]:
    known = tensor.name in live.reader.names
    if len(tensor.shape) == 1 or (known and tensor.shape[1:] == (1,)):
        yield tensor.name, _values(tensor.values, by_name.get(tensor.name))
        return
    width = len(live.reader.columns)
    if known or tensor.shape[1:] != (width,):
        raise RefusedError(
            400, f"the shape of an input is [n], [n, 1], or [n, {width}] for all features in their order"
        )
    texts = [column.name for column in live.reader.columns if column.kind == "string"]
    if texts or tensor.datatype == "BYTES":
        raise RefusedError(400, f"{', '.join(texts) or 'the features'} cannot go in one tensor; send one per feature")
    for number, column in enumerate(live.reader.columns):
        yield column.name, _values(tensor.values[number::width], column)


def _values(values: Sequence[Any], column: Column | None) -> Sequence[Any]:
    """As JSON would have them: NaN is null, 0 and 1 of a numeric tensor are truth values where those are asked for."""
    if column is not None and column.kind == "boolean":
        values = [bool(value) if type(value) in (int, float) and value in (0, 1) else value for value in values]
    if column is not None and column.kind == "string" and column.nullable:
        # Raw texts have no null.
        values = [None if value == "" else value for value in values]
    return [None if type(value) is float and math.isnan(value) else value for value in values]


_WIDE = {"quantiles": "levels", "probabilities": "classes"}
"""Outputs of several numbers a row, and what the parameter is called that names them."""


def _output_names(live: Live) -> tuple[str, ...]:
    head = live.bundle.model.head
    if isinstance(head, Probability):
        return ("score", "decision")
    if isinstance(head, Classes):
        return ("class", "score", "probabilities")
    return ("forecast", "quantiles") if isinstance(head, Quantiles) else ("score",)


def _tensors(live: Live, answers: Sequence[Mapping[str, Any]]) -> Iterator[Tensor]:
    rows = len(answers)
    for name in _output_names(live):
        if name in _WIDE:
            levels = list(answers[0][name])
            flat = [answer[name][level] for answer in answers for level in levels]
            yield Tensor(name, "FP64", (rows, len(levels)), flat, {_WIDE[name]: ",".join(levels)})
        else:
            yield Tensor(name, _output_type(name), (rows,), [answer[name] for answer in answers])
    if REASONS_OUTPUT in answers[0]:
        yield Tensor(REASONS_OUTPUT, "BYTES", (rows,), [json.dumps(answer[REASONS_OUTPUT]) for answer in answers])


def _output_type(name: str) -> str:
    return {"decision": "BOOL", "class": "BYTES", REASONS_OUTPUT: "BYTES"}.get(name, "FP64")


def model_metadata(live: Live) -> dict[str, Any]:
    """What a client of the protocol is told of a model: its inputs and outputs."""
    head = live.bundle.model.head
    levels = len(head.levels) if isinstance(head, Quantiles) else len(head.names) if isinstance(head, Classes) else 0
    return {
        "name": live.bundle.use_case,
        "versions": [live.bundle.version],
        "platform": "mlplatform",
        "inputs": [
            {"name": column.name, "datatype": _input_type(column), "shape": [-1]} for column in live.reader.columns
        ],
        "outputs": [
            {"name": name, "datatype": _output_type(name), "shape": [-1, levels] if name in _WIDE else [-1]}
            for name in (*_output_names(live), REASONS_OUTPUT)
        ],
    }


def _input_type(column: Column) -> str:
    """Only floats have a NaN, which is how a tensor says null."""
    return "FP64" if column.nullable and column.kind != "string" else _DATATYPES[column.kind]


def _error(sentence: str) -> bytes:
    return json.dumps({"error": sentence}).encode()
