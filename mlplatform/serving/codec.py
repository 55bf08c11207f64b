"""Strict JSON: NaN and Infinity are refused when read. orjson if it is installed (about 10 times faster), else json.

Whoever writes checks the numbers first: orjson turns one that is not finite into null, where json raises.
"""

import json
from collections.abc import Callable
from typing import Any

__all__ = ["dumps", "loads", "standard_dumps", "standard_loads"]


def standard_loads(body: bytes) -> Any:
    """Raises ValueError (or RecursionError) if `body` is not JSON in UTF-8."""
    return json.loads(body.decode(), parse_constant=_refuse)


def standard_dumps(value: Any) -> bytes:
    """Raises ValueError if a number is not finite."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _fastest() -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
    try:
        import orjson
    except ImportError:  # pragma: no cover - the environments that are tested have it
        return standard_loads, standard_dumps
    return orjson.loads, orjson.dumps


loads, dumps = _fastest()
