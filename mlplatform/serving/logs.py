"""One JSON object per line and event, without what a request held: no values, no keys, no messages of foreign errors.

`MLPLATFORM_LOG_FORMAT`: `json` (default) or `text`; `MLPLATFORM_LOG_LEVEL`: `INFO`; `MLPLATFORM_SLOW_MS`: requests that
take longer are logged, at most one a second (1000; 0: none); `MLPLATFORM_ACCESS_LOG`: the share of requests that get a
line (0..1, default 0).
"""

import logging
import random
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from mlplatform.errors import ArtifactError
from mlplatform.serving.codec import standard_dumps
from mlplatform.serving.laps import Lap

__all__ = ["JsonLines", "LogSettings", "Requests", "TextLines", "configure_logs"]

logger = logging.getLogger("mlplatform.serving.requests")

LOGGERS = ("mlplatform", "bentoml", "uvicorn.error")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


@dataclass(frozen=True)
class LogSettings:
    """What is logged, and how."""

    format: str = "json"
    level: str = "INFO"
    slow_ms: float = 1000.0
    access: float = 0.0

    def __post_init__(self) -> None:
        if self.format not in ("json", "text"):
            raise ArtifactError(f"MLPLATFORM_LOG_FORMAT is json or text, not {self.format!r}")
        if self.level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ArtifactError(f"MLPLATFORM_LOG_LEVEL is DEBUG, INFO, WARNING or ERROR, not {self.level!r}")
        if not 0 <= self.access <= 1 or not self.slow_ms >= 0:
            raise ArtifactError("MLPLATFORM_ACCESS_LOG is a share, 0 to 1, and MLPLATFORM_SLOW_MS is 0 or more")

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Raises ArtifactError where a variable holds something else than it may."""
        try:
            return cls(
                environment.get("MLPLATFORM_LOG_FORMAT", cls.format).lower(),
                environment.get("MLPLATFORM_LOG_LEVEL", cls.level).upper(),
                float(environment.get("MLPLATFORM_SLOW_MS", cls.slow_ms)),
                float(environment.get("MLPLATFORM_ACCESS_LOG", cls.access)),
            )
        except ValueError as error:
            raise ArtifactError(f"MLPLATFORM_SLOW_MS and MLPLATFORM_ACCESS_LOG are numbers ({error})") from None


class _Discreet(logging.Formatter):
    def formatException(self, ei: _ErrorInfo) -> str:  # noqa: N802 - logging's name
        """Kinds of errors and places in the code. Messages may quote the input: "could not convert 'secret'"."""
        lines: list[str] = []
        error = ei[1]
        while error is not None:
            codes = [(frame.f_code, number) for frame, number in traceback.walk_tb(error.__traceback__)]
            places = " < ".join(f"{code.co_name} ({code.co_filename}:{number})" for code, number in reversed(codes))
            lines.append(f"{type(error).__module__}.{type(error).__qualname__} in {places}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "; caused by ".join(lines)


class TextLines(_Discreet):
    """For people at a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class JsonLines(_Discreet):
    """`extra` of a call becomes fields of its own; `event` says what happened in one word."""

    def __init__(self, **always: Any) -> None:
        """`always`: fields of every line, such as the worker."""
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": "message",
            "message": record.getMessage(),
            "logger": record.name,
            **self._always,
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return standard_dumps({name: _plain(value) for name, value in line.items()}).decode()


def configure_logs(settings: LogSettings, worker: str = "1") -> None:
    """Send the lines of this platform, of BentoML and of uvicorn to standard error, in one format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(worker=worker) if settings.format == "json" else TextLines())
    for name in LOGGERS:
        chosen = logging.getLogger(name)
        chosen.handlers, chosen.propagate = [handler], False
    logging.getLogger("mlplatform").setLevel(settings.level)
    # What BentoML says at INFO is about itself.
    logging.getLogger("bentoml").setLevel(max(logging.WARNING, logging.getLevelName(settings.level)))
    # It calls each request that a client got wrong an error; what fails here is logged where it fails.
    logging.getLogger("bentoml._internal.server.http_app").setLevel(logging.CRITICAL)


class Identified(Protocol):
    """An answer that has a request id."""

    @property
    def request_id(self) -> str | None: ...


class Requests:
    """Lines about single requests."""

    def __init__(self, settings: LogSettings) -> None:
        self._slow = settings.slow_ms / 1000 if settings.slow_ms else float("inf")
        self._access = settings.access
        self._quiet_until = 0.0
        self._untold = 0

    def tell(self, route: str, status: int, seconds: float, laps: Sequence[Lap], answer: Identified) -> None:
        """Log a request that is over, if it is one to log."""
        if seconds > self._slow:
            self._tell_slow(route, status, seconds, laps, answer)
        if self._access and random.random() < self._access:  # noqa: S311 - a sample, no secret
            logger.info("Request", extra={"event": "request", **_facts(route, status, seconds, laps, answer)})

    def _tell_slow(self, route: str, status: int, seconds: float, laps: Sequence[Lap], answer: Identified) -> None:
        """At most once a second: where everything is slow, lines must not make it slower."""
        now = time.monotonic()
        if now < self._quiet_until:
            self._untold += 1
            return
        facts = {"event": "slow_request", **_facts(route, status, seconds, laps, answer), "untold": self._untold}
        logger.warning("A request was slow", extra=facts)
        self._quiet_until, self._untold = now + 1, 0


def _facts(route: str, status: int, seconds: float, laps: Sequence[Lap], answer: Identified) -> dict[str, Any]:
    stages: dict[str, float] = {}
    for stage, began, ended in laps:
        stages[stage] = round(stages.get(stage, 0.0) + 1000 * (ended - began), 3)
    return {
        "route": route,
        "status": status,
        "request_id": answer.request_id,
        "milliseconds": round(1000 * seconds, 3),
        "stages": stages,
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | dict | None) else str(value)
