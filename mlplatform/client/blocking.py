"""The client for code that waits."""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import httpx

from mlplatform.client import calls
from mlplatform.client.answers import Found, Prediction, Readiness
from mlplatform.client.calls import MAX_EVENTS, MAX_EXPLAINED, Call, Row
from mlplatform.client.errors import UnreachableError
from mlplatform.client.retry import Retry
from mlplatform.client.settings import Settings

__all__ = ["Client"]


class Client:
    """One service. Safe to share between threads; `close`, or `with`, gives its connections back.

    Every call raises `CallError`, or one that is more exact; ValueError for what JSON cannot hold.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 10.0,
        retry: Retry | None = None,
        chunk_rows: int = 1000,
        http: httpx.Client | None = None,
    ) -> None:
        """`api_key`: None takes it from MLPLATFORM_API_KEY. `timeout`: seconds for each of connecting, writing and
        reading, per attempt. `http`: an own httpx client, for proxies or certificates; its time-outs then hold.
        """
        self._settings = Settings(url.rstrip("/"), api_key, timeout, retry or Retry(), chunk_rows)
        self._http = http or httpx.Client(timeout=timeout)

    def predict(self, row: Row, *, explain: bool = True, request_id: str | None = None) -> Prediction:
        """Score one object of features."""
        return _prediction(self._send(calls.one("/predict", row, request_id, explain=explain)))

    def predict_many(
        self, rows: Iterable[Row], *, explain: bool = False, request_id: str | None = None
    ) -> list[Prediction]:
        """Score rows, in order; many of them go in several requests, one after another."""
        chunk_rows = self._settings.chunk_rows
        most = min(chunk_rows, MAX_EXPLAINED) if explain else chunk_rows
        found = self._many("/predict", rows, request_id, most, explain=explain)
        return [prediction for chunk in found for prediction in chunk]

    def look_up(self, key: Row, *, explain: bool = True, request_id: str | None = None) -> Found:
        """The answers of a key, with a limit if wanted: `{"user_id": 17, "k": 5}`."""
        return Found.read(self._send(calls.one("/predict", key, request_id, explain=explain)))

    def score(
        self, event: Row, *, explain: bool = True, remember: bool = True, request_id: str | None = None
    ) -> Prediction:
        """Score what has happened; the service computes the features. `remember`: later events see this one."""
        call = calls.one("/score", event, request_id, explain=explain, remember=remember)
        return _prediction(self._send(call))

    def score_many(
        self, events: Iterable[Row], *, explain: bool = False, remember: bool = True, request_id: str | None = None
    ) -> list[Prediction]:
        """The same of several, in order, in requests of at most 256."""
        most = min(self._settings.chunk_rows, MAX_EVENTS)
        found = self._many("/score", events, request_id, most, explain=explain, remember=remember)
        return [prediction for chunk in found for prediction in chunk]

    def score_listed(
        self, event: Row, *, explain: bool = True, remember: bool = True, request_id: str | None = None
    ) -> Found:
        """Where one event has a list of answers, such as one for each day ahead."""
        return Found.read(self._send(calls.one("/score", event, request_id, explain=explain, remember=remember)))

    def ready(self) -> Readiness:
        """Asked once, not again: a service that has no model yet says so."""
        try:
            response = self._http.get(f"{self._settings.url}/readyz", headers=self._settings.headers())
        except httpx.TransportError as error:
            raise UnreachableError(f"no answer: {error}", request_id="-") from error
        return calls.readiness(response)

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _many(
        self, path: str, rows: Iterable[Row], request_id: str | None, most: int, **options: bool
    ) -> list[list[Prediction]]:
        chunks = calls.many(path, rows, request_id, most, self._settings.chunk_bytes, **options)
        return [calls.predictions(self._send(call)) for call in chunks]

    def _send(self, call: Call) -> dict[str, Any]:
        attempt = 1
        while (pause := self._settings.retry.pause(attempt, outcome := self._attempt(call))) is not None:
            time.sleep(pause)
            attempt += 1
        return calls.content_of(call, outcome, attempt)

    def _attempt(self, call: Call) -> httpx.Response | httpx.TransportError:
        headers = {**self._settings.headers(), **call.headers()}
        try:
            return self._http.post(f"{self._settings.url}{call.path}", content=call.body, headers=headers)
        except httpx.TransportError as error:
            return error


def _prediction(content: dict[str, Any]) -> Prediction:
    return Prediction.read(content, content)
