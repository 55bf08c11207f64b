"""A typed client of a prediction service: httpx and the standard library, nothing else of the platform.

with Client("http://127.0.0.1:3000") as client:
    print(client.predict({"amount": 57.16, ...}).score)
"""

from mlplatform.client.answers import Found, Model, Prediction, Readiness, Reason
from mlplatform.client.asynchronous import AsyncClient
from mlplatform.client.blocking import Client
from mlplatform.client.errors import (
    BusyError,
    CallError,
    InvalidRequestError,
    Problem,
    RefusedKeyError,
    ServerError,
    UnreachableError,
)
from mlplatform.client.retry import Retry
from mlplatform.client.settings import API_KEY_VARIABLE

__all__ = [
    "API_KEY_VARIABLE",
    "AsyncClient",
    "BusyError",
    "CallError",
    "Client",
    "Found",
    "InvalidRequestError",
    "Model",
    "Prediction",
    "Problem",
    "Readiness",
    "Reason",
    "RefusedKeyError",
    "Retry",
    "ServerError",
    "UnreachableError",
]
