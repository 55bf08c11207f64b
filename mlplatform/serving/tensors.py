"""Tensors of the Open Inference Protocol v2: from a request's bytes to columns, from columns to an answer's bytes.

JSON, and the binary extension of Triton: a JSON head, whose length a header names, and the raw tensors behind it.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeGuard

import numpy as np

from mlplatform.serving.codec import dumps, loads
from mlplatform.serving.limits import Limits, longer_text
from mlplatform.serving.request import (
    REQUEST_ID,
    RefusedError,
    require_few_values,
    too_long,
    too_many,
    whole_number,
)

__all__ = ["LENGTH_HEADER", "Asked", "Tensor", "read_request", "write_answer"]

LENGTH_HEADER = b"inference-header-content-length"
_NUMBERS = {
    "BOOL": "?",
    **{f"{sign}{8 * size}": f"<{sign[0].lower()}{size}" for sign in ("INT", "UINT") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}
_TYPES = frozenset({*_NUMBERS, "BYTES"})
_LENGTH = struct.Struct("<I")
_NAME_SHOWN = 64
_MOST_DIMENSIONS, _LONGEST = 2, 2**31


@dataclass(frozen=True, slots=True)
class Tensor:
    """`values`: Python values, row by row. `parameters` go with an output."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[Any]
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One inference request. `outputs`: name -> whether as raw bytes; None: all that are given unasked."""

    id: str | None
    inputs: tuple[Tensor, ...]
    outputs: Mapping[str, bool] | None
    raw: bool
    """Whether outputs that do not say so themselves are wanted as raw bytes."""


def read_request(body: bytes, length: bytes | None, limits: Limits, fields: int) -> Asked:
    """`length`: what LENGTH_HEADER says; `fields`: how many a row may have, and so how many tensors may come.

    Raises RefusedError with what is wrong.
    """
    size = len(body) if length is None else whole_number(length, len(body) + 1)
    if size > len(body):
        raise RefusedError(400, "Inference-Header-Content-Length must be the length of the JSON before the raw tensors")
    head = body[:size]
    require_few_values(head, limits, fields)
    try:
        content = loads(head)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not valid JSON") from None
    if type(content) is not dict or type(content.get("inputs")) is not list or not content["inputs"]:
        raise RefusedError(400, '"inputs" must be a list with at least one tensor')
    if len(content["inputs"]) > fields:
        raise RefusedError(400, f"{len(content['inputs'])} inputs; the model has {fields}, each of which comes once")
    identity = content.get("id")
    if (
        identity is not None
        and identity != ""
        and (type(identity) is not str or not REQUEST_ID.fullmatch(identity.encode()))
    ):
        raise RefusedError(400, '"id" must be 1 to 128 letters, digits, dots, dashes or underscores')
    if len(body) > limits.text and longer_text(content, limits.text):
        raise too_long(limits.text)
    raw = _Raw(body, size)
    inputs = tuple(_input(told, raw, limits.rows, fields) for told in content["inputs"])
    raw.require_end()
    if size < len(body) and longer_text([tensor.values for tensor in inputs], limits.text):
        raise too_long(limits.text)
    return Asked(identity or None, inputs, _outputs(content), _parameters(content).get("binary_data_output") is True)


def _outputs(content: Mapping[str, Any]) -> dict[str, bool] | None:
    wanted = content.get("outputs")
    if wanted is None or wanted == []:
        return None
    if type(wanted) is not list or not all(type(each) is dict and type(each.get("name")) is str for each in wanted):
        raise RefusedError(400, '"outputs" must be a list of objects with a name')
    unsaid = _parameters(content).get("binary_data_output") is True
    return {each["name"]: _parameters(each).get("binary_data", unsaid) is True for each in wanted}


def _parameters(told: Mapping[str, Any]) -> Mapping[str, Any]:
    found = told.get("parameters")
    if found is None:
        return {}
    if type(found) is not dict:
        raise RefusedError(400, '"parameters" must be an object')
    return found


class _Raw:
    """The bytes behind the JSON, taken one tensor after the other."""

    def __init__(self, body: bytes, start: int) -> None:
        self._body, self._at = body, start

    def take(self, size: int) -> bytes:
        if size < 0 or self._at + size > len(self._body):
            raise RefusedError(400, '"binary_data_size" reaches beyond the end of the body')
        taken = self._body[self._at : self._at + size]
        self._at += size
        return taken

    def require_end(self) -> None:
        if self._at != len(self._body):
            raise RefusedError(400, "there are bytes behind the last tensor")


def _input(told: Any, raw: _Raw, most_rows: int, fields: int) -> Tensor:
    if type(told) is not dict or type(told.get("name")) is not str:
        raise RefusedError(400, "an input must be an object with a name, a datatype and a shape")
    name, datatype, shape = told["name"], told.get("datatype"), told.get("shape")
    shown = name[:_NAME_SHOWN]
    if type(datatype) is not str or datatype not in _TYPES:
        raise RefusedError(400, f"input {shown}: the datatype must be one of {', '.join(sorted(_TYPES))}")
    if not _is_shape(shape):
        raise RefusedError(400, f"input {shown}: the shape must be a list of one or two whole numbers")
    if shape[0] > most_rows:
        raise too_many(shape[0], most_rows)
    if math.prod(shape[1:]) > fields:
        raise RefusedError(400, f"input {shown}: rows of {shape[1]} values; the model has {fields} inputs")
    size = _parameters(told).get("binary_data_size")
    if size is None:
        values = _from_json(told.get("data"), datatype, shown)
    elif type(size) is int:
        values = _from_bytes(raw.take(size), datatype, shown, math.prod(shape))
    else:
        raise RefusedError(400, f'input {shown}: "binary_data_size" must be a whole number')
    if len(values) != math.prod(shape):
        raise RefusedError(400, f"input {shown}: {len(values)} values, but the shape asks for {math.prod(shape)}")
    return Tensor(name, datatype, tuple(shape), values)


def _is_shape(shape: Any) -> TypeGuard[list[int]]:
    """No input has more than rows and columns, so that the product below is one of two small numbers."""
    return (
        type(shape) is list
        and 1 <= len(shape) <= _MOST_DIMENSIONS
        and all(type(each) is int and 0 <= each <= _LONGEST for each in shape)
    )


def _from_json(data: Any, datatype: str, name: str) -> list[Any]:
    """Nested or flat, as the protocol allows. A number stays what it is: the contract says what is right."""
    if type(data) is not list:
        raise RefusedError(400, f'input {name}: "data" must be a list')
    if any(type(each) is list for each in data):
        data = list(chain.from_iterable(each if type(each) is list else (each,) for each in data))
    if any(type(each) is list for each in data):
        raise RefusedError(400, f'input {name}: "data" is nested deeper than rows of values')
    if datatype == "BOOL":
        return [bool(each) if type(each) is int and each in (0, 1) else each for each in data]
    return list(data)


def _from_bytes(data: bytes, datatype: str, name: str, count: int) -> list[Any]:
    """`count`: how many the shape asks for; more are not made."""
    if datatype == "BYTES":
        return _texts(data, name, count)
    kind = np.dtype(_NUMBERS[datatype])
    if len(data) % kind.itemsize:
        raise RefusedError(400, f"input {name}: {len(data)} bytes are no whole number of {datatype} values")
    if (found := len(data) // kind.itemsize) != count:
        raise RefusedError(400, f"input {name}: {found} values, but the shape asks for {count}")
    values: list[Any] = np.frombuffer(data, kind).tolist()
    return values


def _texts(data: bytes, name: str, count: int) -> list[str]:
    texts: list[str] = []
    at = 0
    try:
        while at < len(data):
            if len(texts) == count:
                raise RefusedError(400, f"input {name}: more than {count} values, but the shape asks for so many")
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            if at + length > len(data):
                raise RefusedError(400, f"input {name}: a text is longer than the tensor")
            texts.append(data[at : at + length].decode())
            at += length
    except (struct.error, UnicodeDecodeError):
        raise RefusedError(400, f"input {name}: BYTES are texts in UTF-8, each behind its length in 4 bytes") from None
    return texts


def write_answer(head: Mapping[str, Any], outputs: Iterable[tuple[Tensor, bool]]) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON if raw tensors follow. `outputs`: each with whether it is wanted raw."""
    told, behind = [], []
    for tensor, raw in outputs:
        one: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        parameters = dict(tensor.parameters or {})
        if raw:
            data = _to_bytes(tensor)
            behind.append(data)
            parameters["binary_data_size"] = len(data)
        else:
            one["data"] = list(tensor.values)
        told.append({**one, "parameters": parameters} if parameters else one)
    body = dumps({**head, "outputs": told})
    return (body + b"".join(behind), len(body)) if behind else (body, None)


def _to_bytes(tensor: Tensor) -> bytes:
    if tensor.datatype != "BYTES":
        return np.asarray(tensor.values, np.dtype(_NUMBERS[tensor.datatype])).tobytes()
    texts = [str(value).encode() for value in tensor.values]
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
