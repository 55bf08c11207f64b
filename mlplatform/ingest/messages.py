"""From messages to rows. One that holds no JSON object is kept as it came, with the reason, for quarantine."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from mlplatform.ingest.batch import Batch
from mlplatform.ingest.columns import given_names
from mlplatform.ingest.records import records_table
from mlplatform.spec import StreamSource
from mlplatform.spec.stream import Mqtt

__all__ = ["Message", "batch_of", "no_message_yet"]

# Clocks of devices run ahead.
_CLOCK_SLACK = timedelta(days=1)


@dataclass(frozen=True)
class Message:
    """A message as it came."""

    topic: str
    payload: bytes


def batch_of(
    spec: StreamSource, messages: Sequence[Message], name: str, cursor: str | None, newest: datetime | None
) -> Batch:
    """The rows of some messages, and those that hold none; `newest`: when the last of them was taken (UTC, no zone)."""
    rows: list[dict[str, Any]] = []
    refused: list[tuple[str, str]] = []
    for message in messages:
        found = _rows(message)
        if isinstance(found, str):
            refused.append((message.payload.decode("utf-8", "backslashreplace"), f"{found} (topic {message.topic})"))
        else:
            rows += _with_topic(spec, found, message.topic)
    columns = given_names(spec)
    if spec.topic_column:
        columns.pop(spec.topic_column, None)
    return Batch(
        name,
        records_table(rows, columns),
        cursor=cursor,
        latest=newest.replace(microsecond=0) + _CLOCK_SLACK if newest else None,
        refused=_refused(refused),
    )


def no_message_yet(spec: StreamSource) -> str:
    """What a run that met no message says: that it is no failure, and what to look at if it stays so."""
    broker = spec.broker
    if isinstance(broker, Mqtt):
        return (
            f"source `{spec.name}`: no message has come yet on `{broker.topic}` of {broker.host}:{broker.port}. The "
            f"broker keeps for the client `{broker.client}` what comes from now on; a later run stores it. If that "
            "stays so: does `topic` match where the devices publish, do they publish with quality of service 1 (what "
            "is sent with 0 is not kept between two runs), and may this user read it?"
        )
    of = f" of the subject `{broker.subject}`" if broker.subject else ""
    return (
        f"source `{spec.name}`: the stream {broker.stream} at {broker.url} holds no message{of} yet; a later run "
        "stores what comes. If that stays so: is the subject that the devices publish to one of the stream's, and is "
        "`subject` right?"
    )


def _rows(message: Message) -> list[dict[str, Any]] | str:
    """The message's objects, or why there is none."""
    try:
        content = json.loads(message.payload.decode("utf-8"), parse_float=str, parse_constant=lambda name: None)  # noqa: ARG005
    except UnicodeDecodeError:
        return "the message is not UTF-8"
    except (ValueError, RecursionError) as error:
        return f"the message is no JSON: {error}"
    if b"\\u" in message.payload and not _is_text(content):
        return "the message names half a character (a lone surrogate), which no text can hold"
    found = content if isinstance(content, list) else [content]
    if not all(isinstance(row, dict) for row in found):
        return "the message is no JSON object and no list of them"
    return found


def _is_text(content: Any) -> bool:
    """Whether every name and text in it can be written as UTF-8."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _with_topic(spec: StreamSource, rows: list[dict[str, Any]], topic: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {**row, spec.topic_column: topic} if spec.topic_column else row


def _refused(refused: list[tuple[str, str]]) -> pa.Table | None:
    if not refused:
        return None
    payloads, reasons = zip(*refused, strict=True)
    return pa.table({"payload": pa.array(payloads, pa.string()), "_reason": pa.array(reasons, pa.string())})
