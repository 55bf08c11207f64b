"""FEATURES.md: how each feature comes about, for who has to compute it where the lake is not."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlplatform.lake.feature_query import FeatureQuery
from mlplatform.ml.model_form import Column as Input
from mlplatform.serving.column import Column
from mlplatform.serving.raw.settings import QUERY_FILE
from mlplatform.serving.scoring import Live

__all__ = ["feature_notes"]

_START = """\
# {use_case} version {version}: its features

`runner.py` scores rows of these {count} features, one JSON object a line:

```
python runner.py < rows.jsonl
```

{example}

Other fields that a row may have: {about}. They reach no model.{by_key}

Without the runner: `model.onnx` has an input of the shape [rows, 1] for each feature, by its name, and answers with
{outputs}. {texts}; all other inputs are float64, missing is NaN, false and true are 0 and 1.
What is allowed is checked by the runner alone.
"""
_OUTPUTS = {
    "binary": "`score` (float64[rows]) and `decision` (bool[rows])",
    "multiclass": "`class` (int64[rows], the place of the likeliest in `classes` of contract.json), `score`, its "
    "probability (float64[rows]), and `probabilities` (float64[rows, classes])",
    "forecast": "`forecast`, the median (float64[rows]), and `quantiles` (float64[rows, levels])",
    "ranking": "`score` (float64[rows])",
}
_SQL = """
## The whole query

DuckDB's SQL, compiled by dbt, word for word what the model was trained on. It makes one row of `{table}` for each row
of `{spine}`, found by `{key}`, and reads {history}.

```sql
{sql}
```
"""


def feature_notes(live: Live, folder: Path, inputs: Sequence[Input], described: Mapping[str, str]) -> str:
    """Markdown. `folder`: the bundle, whose SQL is told; `described`: what dbt says of columns, by name."""
    query = FeatureQuery.load(folder / QUERY_FILE) if (folder / QUERY_FILE).exists() else None
    made = _expressions(query.sql) if query else {}
    parts = [_start(live, inputs)]
    for column, rule in zip(live.reader.columns, live.reader.rules, strict=True):
        parts.append(_feature(column, rule.description, described.get(column.name, ""), made.get(column.name, "")))
    return "\n".join(parts) + (_query(query) if query else "")


def _start(live: Live, inputs: Sequence[Input]) -> str:
    bundle = live.bundle
    about = sorted(bundle.journal.identity.names(frozenset(bundle.model.features)))
    texts = [f"`{given.name}` (missing: {json.dumps(given.missing)})" for given in inputs if given.is_text]
    return _START.format(
        use_case=bundle.use_case,
        version=bundle.version,
        count=len(live.reader.columns),
        example=f"```json\n{json.dumps(live.example(), ensure_ascii=False)}\n```",
        about=", ".join(f"`{name}`" for name in about) or "none",
        by_key=""
        if bundle.lookup is None
        else " The service also answers by key; here the features have to be brought.",
        outputs=_OUTPUTS[bundle.model.head.task],
        texts=f"Texts are {', '.join(texts)}" if texts else "No input is a text",
    )


def _feature(column: Column, contract: str, dbt: str, made: str) -> str:
    told = dict.fromkeys(text.strip() for text in (contract, dbt) if text.strip())
    allowed = f"Allowed: {column.allowed}."
    if column.codes is not None and column.listed is None:
        allowed += " A category that training did not see counts as missing."
    parts = [f"## `{column.name}`", *told, allowed]
    if made:
        parts.append(f"In the query below:\n\n```sql\n{made}\n```")
    return "\n\n".join(parts) + "\n"


def _query(query: FeatureQuery) -> str:
    tables = [f"`{table.table}` ({table.lookback_days} days back)" for table in query.history]
    return _SQL.format(
        table=query.table,
        spine=query.spine,
        key=query.key,
        history=", ".join(tables) or "nothing else",
        sql=query.sql.strip(),
    )


def _expressions(sql: str) -> dict[str, str]:
    """What each column of the query's last SELECT is made of; none where it cannot be read."""
    with warnings.catch_warnings():
        # sqlglot recommends another of its own speed-ups while it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        import sqlglot
        from sqlglot import exp
    try:
        tree = sqlglot.parse_one(sql, dialect="duckdb")
    except sqlglot.errors.ParseError:
        return {}
    if not isinstance(tree, exp.Query):
        return {}
    return {each.alias_or_name: each.unalias().sql(dialect="duckdb", pretty=True) for each in tree.selects}
