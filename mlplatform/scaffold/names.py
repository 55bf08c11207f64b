"""Legal names for columns: in SQL without quotes, in Python, and in the requests of a service."""

import keyword
import re
from collections.abc import Sequence

import duckdb

from mlplatform.scaffold.letters import as_ascii

__all__ = ["YAML_WORDS", "legal_names"]

YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""No texts, where they stand without quotes in YAML 1.1 (yaml.org/type/bool.html, yaml.org/type/null.html)."""

_TAKEN = {
    # The platform's own columns.
    *("row_key", "event_time", "label", "label_known_at", "part", "position"),
    # DuckLake's, where it keeps few rows in its catalog.
    *("row_id", "rowid", "begin_snapshot", "end_snapshot", "_ducklake_internal_row_id"),
    # Of requests, answers and the log of predictions.
    *("rows", "explain", "k", "score", "decision", "forecast", "quantiles", "reasons", "items", "forecasts"),
    *("predictions", "known", "as_of", "answer", "features", "prediction_id", "request_id", "predicted_at", "role"),
    *("model_version", "model", "bento", "latency_ms", "probabilities", "class"),
}


def legal_names(names: Sequence[str]) -> dict[str, str]:
    """A name for each of `names`: lower case, letters, digits and `_`, no keyword, none twice."""
    forbidden = _TAKEN | YAML_WORDS | _keywords() | _of_pandera()
    legal: dict[str, str] = {}
    used: set[str] = set()
    for position, name in enumerate(names, start=1):
        made = _plain(name) or f"column_{position}"
        if made in forbidden:
            made = f"{made}_"
        wanted, again = made, 1
        while made in used:
            again += 1
            made = f"{wanted}_{again}"
        used.add(made)
        legal[name] = made
    return legal


def _plain(name: str) -> str:
    # `fareAmount` is two words, `ID` is one.
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", as_ascii(name))
    plain = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:60]
    if not plain or not re.search("[a-z]", plain):
        return f"column_{plain}" if plain else ""
    return f"column_{plain}" if plain[0].isdigit() else plain


def _keywords() -> set[str]:
    """Words that SQL or Python keep for themselves."""
    with duckdb.connect(":memory:") as con:
        words = con.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
        ).fetchall()
    return {word for (word,) in words} | {word.lower() for word in keyword.kwlist} | set(keyword.softkwlist)


def _of_pandera() -> set[str]:
    """Attributes of a pandera model, which a column must not hide."""
    from pandera.pandas import DataFrameModel

    return {name.lower() for name in dir(DataFrameModel)} | {"config"}
