"""What can go wrong in a call. `CallError` is the base; each carries the request id that the service logged."""

from dataclasses import dataclass

__all__ = [
    "BusyError",
    "CallError",
    "InvalidRequestError",
    "Problem",
    "RefusedKeyError",
    "ServerError",
    "UnreachableError",
]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request. `row`: position in what the caller passed, from 0."""

    row: int
    field: str
    problem: str
    allowed: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.field or 'the row'} {self.problem}; allowed: {self.allowed}"


class CallError(Exception):
    """A call that got no answer. `status`: of HTTP, None where there was none; `attempts`: how often it was sent."""

    def __init__(self, message: str, *, request_id: str, status: int | None = None, attempts: int = 1) -> None:
        super().__init__(f"{message} (request {request_id})")
        self.request_id = request_id
        self.status = status
        self.attempts = attempts


class InvalidRequestError(CallError):
    """The service refuses the request itself: sending it again changes nothing. `problems`: all that is wrong."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = (), *, request_id: str, status: int) -> None:
        listed = "".join(f"\n  {problem}" for problem in problems[:_NAMED])
        more = f"\n  and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        super().__init__(f"{message}{listed}{more}", request_id=request_id, status=status)
        self.problems = problems


class RefusedKeyError(CallError):
    """401 or 403: no API key, or one that may not do this. It is given as `api_key` or in MLPLATFORM_API_KEY."""


class BusyError(CallError):
    """429 or 503 to the last attempt. `retry_after`: seconds that the service asked for, if it did."""

    def __init__(
        self, message: str, *, request_id: str, status: int, attempts: int, retry_after: float | None = None
    ) -> None:
        super().__init__(message, request_id=request_id, status=status, attempts=attempts)
        self.retry_after = retry_after


class ServerError(CallError):
    """The service failed on this request; its log has the cause under the request id."""


class UnreachableError(CallError):
    """No connection, or none that lived until the answer."""


_NAMED = 5
"""Problems that the message of an error names; `problems` has them all."""
