import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from mlplatform.errors import SpecError
from mlplatform.spec import EnsembleCandidate, SqlSource, UseCase, declared_use_cases, load_declaration
from mlplatform.spec.load import USE_CASES
from mlplatform.spec.reserved import SQL_WORDS

KINDS = "'lightgbm', 'sklearn', 'torch', 'keras', 'ensemble'"
TEXT = (USE_CASES / "fraud" / "defs.yaml").read_text()


def declare(folder: Path, old: str, new: str) -> tuple[Path, int]:
    """The fraud declaration with one mistake, and the line that it stands on."""
    assert old in TEXT
    path = folder / "fraud" / "defs.yaml"
    path.parent.mkdir()
    path.write_text(TEXT.replace(old, new, 1))
    return path, TEXT[: TEXT.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "field", "allowed"),
    [
        ("kind: lightgbm", "kind: lightgmb", "candidates.0", KINDS),
        ("folds: 3", "folds: many", "split.time.cross_validation.time.folds", "valid integer"),
        (
            "kind: binary",
            "kind: binery",
            "training.task",
            "'binary', 'multiclass', 'regression', 'forecast', 'ranking'",
        ),
        ("floor: 0.5", "floor: 5", "gates.floor", "less than or equal to 1"),
        ("max_bad_share", "max_bad_shrae", "contract.max_bad_shrae", "not permitted"),
        ("policy: {", "policy: {kind: xdrift, ", "policy", "'never', 'schedule', 'drift', 'performance', 'combined'"),
    ],
)
def test_a_mistake_is_named_with_file_line_field_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, field: str, allowed: str
) -> None:
    path, line = declare(tmp_path, old, new)
    with pytest.raises(SpecError) as caught:
        load_declaration("fraud", tmp_path)
    message = str(caught.value)
    assert f"{path}:{line}" in message
    assert field in message
    assert allowed in message


@pytest.mark.parametrize("word", ["select", "order", "table", "left"])
def test_a_word_of_sql_is_no_name_of_a_use_case(tmp_path: Path, word: str) -> None:
    path, line = declare(tmp_path, "name: fraud", f"name: {word}")
    with pytest.raises(SpecError) as caught:
        load_declaration("fraud", tmp_path)
    assert f"{path}:{line}: name: Value error, '{word}' is a word of SQL" in str(caught.value)


def test_the_words_of_sql_are_those_of_duckdb() -> None:
    kinds = "('reserved', 'type_function')"
    found = duckdb.sql(f"SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN {kinds}").fetchall()
    assert {word for (word,) in found} == SQL_WORDS


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        ("metric: average_precision", "metric: ndcg", "gates.metric is ndcg; allowed for a binary task: average_prec"),
        ("model: logistic", "model: ridge", "candidate logistic: model ridge cannot learn a binary task; allowed: log"),
        (
            "model: logistic",
            "model: logistic, calibration: conformal",
            "calibration of logistic is conformal; allowed for a binary task: sigmoid, isotonic, none",
        ),
        (
            "{kind: binary, costs: {false_positive: 5, false_negative: 100}}",
            "{kind: forecast, series: s, horizon: h, naive: n, scale: c, quantiles: [0.1, 0.9, 0.5]}",
            "must rise, with 0.5 among those between the outer two",
        ),
    ],
)
def test_what_a_task_does_not_know_is_refused_with_what_it_does(
    tmp_path: Path, old: str, new: str, allowed: str
) -> None:
    path, _ = declare(tmp_path, old, new)
    with pytest.raises(SpecError) as caught:
        load_declaration("fraud", tmp_path)
    assert str(path) in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        (
            "kind: lightgbm",
            "kind: lightgmb",
            "training.candidates.0.kind",
            "['lightgbm', 'sklearn', 'torch', 'keras', 'ensemble']",
        ),
        ("kind: python", "kind: pyhton", "sources.0.kind", "['python', 'files', 'sql', 'rest', 'stream']"),
        (
            "metric: average_precision",
            "metric: accuracy",
            "training.gates.metric",
            "is not one of ['average_precision',",
        ),
        ("tuning: {trials: 8", "tuning: {trials: few", "training.candidates.0.tuning.trials", "not of type 'integer'"),
        ("params: {days", "parms: {days", "sources.0", "'parms' was unexpected"),
    ],
)
def test_the_json_schema_names_it_too_which_is_what_dg_check_yaml_and_editors_go_by(
    old: str, new: str, place: str, message: str
) -> None:
    content = yaml.safe_load(TEXT.replace(old, new, 1))["attributes"]
    validator = Draft202012Validator(UseCase.model_json_schema())
    found = [(".".join(map(str, error.absolute_path)), error.message) for error in validator.iter_errors(content)]
    assert [(place, message in told) for _, told in found] == [(where, True) for where, _ in found]


def test_two_candidates_of_one_name_are_refused(tmp_path: Path) -> None:
    declare(tmp_path, "name: logistic", "name: lightgbm")
    with pytest.raises(SpecError, match="two candidates share a name"):
        load_declaration("fraud", tmp_path)


def test_text_that_is_no_yaml_is_named_with_its_file(tmp_path: Path) -> None:
    path, _ = declare(tmp_path, "type:", "type: [")
    with pytest.raises(SpecError, match=str(path)):
        load_declaration("fraud", tmp_path)


def test_an_unknown_use_case_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"declared: .*fraud"):
        load_declaration("froud")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("increasing: [amount,", "increasing: [amuont,", "directions of lightgbm name amuont; allowed are .*amount"),
        ("decreasing: [", "decreasing: [amount, ", "amount: both increasing and decreasing"),
    ],
)
def test_a_direction_of_no_feature_or_two_of_one_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    declare(tmp_path, old, new)
    with pytest.raises(SpecError, match=message):
        load_declaration("fraud", tmp_path)


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [
        ("of: [lightgbm, forest]", "blend blends forest; allowed are the candidates .*: lightgbm, logistic"),
        ("of: [lightgbm, blend]", "blend blends blend; allowed are the candidates that are no ensembles"),
        ("of: [lightgbm]", "blend blends lightgbm; name two or more"),
        ("of: [lightgbm, lightgbm]", "blend blends lightgbm, lightgbm; name two or more candidates, each once"),
    ],
)
def test_an_ensemble_of_unknown_or_too_few_candidates_is_refused(tmp_path: Path, ensemble: str, message: str) -> None:
    declare(
        tmp_path,
        "      - {name: logistic",
        f"      - {{name: blend, kind: ensemble, {ensemble}}}\n      - {{name: logistic",
    )
    with pytest.raises(SpecError, match=message):
        load_declaration("fraud", tmp_path)


def test_an_ensemble_blends_by_default_all_others_in_the_order_of_the_declaration(tmp_path: Path) -> None:
    declare(tmp_path, "      - {name: logistic", "      - {name: blend, kind: ensemble}\n      - {name: logistic")
    training = load_declaration("fraud", tmp_path).spec.training
    ensemble = training.candidates[1]
    assert isinstance(ensemble, EnsembleCandidate)
    assert training.members_of(ensemble) == ["lightgbm", "logistic"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("split: {label_delay_days", "split: {kind: rows, label_delay_days", "'time', 'group'"),
        ("split: {label_delay_days: 7, ", "split: {", "label_delay_days: Field required"),
        ("split: {label_delay_days: 7, train_days: 28, tune_days: 7, test_days: 7", "split: {kind: group", "key"),
        (
            "split: {label_delay_days: 7, train_days: 28, tune_days: 7, test_days: 7",
            "split: {kind: group, key: customer_id, tune_share: 0.5, test_share: 0.5",
            "leave no group to train on",
        ),
        ('start: "2018-04-01"', "partition: month", "needs `start`, its first day"),
        ('start: "2018-04-01"', "time_column: null", "has no time"),
        ('start: "2018-04-01"', 'start: "2018-04-01"\n      partition: week', "'day', 'month' or 'none'"),
    ],
)
def test_a_split_or_partition_that_cannot_be_is_refused_with_what_can(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    declare(tmp_path, old, new)
    with pytest.raises(SpecError, match=re.escape(message)):
        load_declaration("fraud", tmp_path)


def test_a_split_that_names_no_kind_is_by_time() -> None:
    assert load_declaration("fraud").spec.training.split.kind == "time"


def test_partitioned_sources_of_different_ranges_are_refused_before_dagster_fails_on_them() -> None:
    spec = load_declaration("fraud").spec
    content = spec.model_dump()
    other = content["sources"][0] | {"name": "cards", "start": "2018-05-01"}
    with pytest.raises(ValidationError, match="partitioned sources differ"):
        UseCase.model_validate(content | {"sources": [*content["sources"], other]})
    whole = other | {"partition": "none", "start": None}
    assert UseCase.model_validate(content | {"sources": [*content["sources"], whole]}).partitioned_sources == [
        spec.sources[0]
    ]


def test_what_was_declared_can_be_written_down_and_read_again() -> None:
    for name in declared_use_cases():
        spec = load_declaration(name).spec
        assert UseCase.model_validate(spec.model_dump()) == spec


@pytest.mark.parametrize("name", declared_use_cases())
def test_every_declaration_keeps_the_json_schema(name: str) -> None:
    content = yaml.safe_load((USE_CASES / name / "defs.yaml").read_text())["attributes"]
    assert list(Draft202012Validator(UseCase.model_json_schema()).iter_errors(content)) == []


OWN = """kind: sql
      database: {engine: postgres, dsn_variable: SHOP_DATABASE}
      table: sales.transactions
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("engine: postgres", "engine: oracle", "Input should be 'postgres', 'mysql', 'sqlite' or 'duckdb'"),
        ("dsn_variable: SHOP_DATABASE", "path: shop.db", "a postgres database has no `path`, but `dsn_variable`"),
        ("engine: postgres", "engine: sqlite", "a sqlite database is a file: name it with `path`"),
        ("SHOP_DATABASE", '"postgresql://me:s3cret@shop/db"', "must be the name of an environment variable"),
        (
            "dsn_variable: ",
            'dsn: "postgresql://me:s3cret@shop/db", dsn_variable: ',
            "database.dsn: Extra inputs are not",
        ),
        ("table: sales.transactions", "table: a.b.c", "must be a table or view, as `name` or `schema.name`"),
        ("table: sales.transactions", "columns: {}", "needs `table` (all its columns) or `query` (a SELECT), not both"),
        (
            "table: sales.transactions",
            "query: DELETE FROM sales",
            "must be a SELECT (or WITH ... SELECT) and begins with",
        ),
        ("table: sales.transactions", "query: SELECT 1; DROP TABLE sales", "must be one SELECT; there is a `;`"),
    ],
)
def test_what_a_database_is_not_declared_by_is_named_without_repeating_it(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path, _ = declare(tmp_path, "kind: python            # class Reader in source.py\n", OWN.replace(old, new, 1))
    path.write_text(re.sub(r"      params: .*\n", "", path.read_text()))
    with pytest.raises(SpecError) as caught:
        load_declaration("fraud", tmp_path)
    assert message in str(caught.value)
    assert f"{path}:" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        "(SELECT ';' AS a);",
        "-- what it is\n/* more; */ WITH a AS (SELECT 1) SELECT * FROM a",
        'SELECT ";" FROM a',
    ],
)
def test_one_select_may_be_written_in_many_ways(query: str) -> None:
    source = SqlSource(
        kind="sql", name="a", key=["id"], start="2018-04-01", database={"engine": "sqlite", "path": "a"}, query=query
    )
    assert source.query == query.rstrip(";")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("journal.keep_days", "1000000"),
        ("policy.cool_down_days", ".inf"),
        ("policy.cool_down_days", ".nan"),
        ("policy.budget_seconds", ".inf"),
        ("rollback.fresh_days", ".inf"),
        ("rollback.pause_days", "1.0e+9"),
        ("performance.window_days", "100000000"),
        ("drift.window_days", "36500"),
        ("leakage.lookback_days", "100000000"),
        ("watchdog.min_free_gib", ".inf"),
        ("healing.0.backoff_seconds", ".inf"),
        ("sources.0.look_back_days", "100000000"),
    ],
)
def test_a_span_that_no_calendar_holds_is_refused_with_file_and_field(tmp_path: Path, field: str, value: str) -> None:
    content = yaml.safe_load(TEXT)
    content["attributes"].setdefault("healing", [{"when": "run", "remedy": "retry"}])
    *parents, last = field.split(".")
    place = content["attributes"]
    for name in parents:
        place = place[int(name)] if name.isdecimal() else place.setdefault(name, {})
    place[last] = yaml.safe_load(value)
    told = refusal(tmp_path, content)
    assert str(tmp_path / "fraud" / "defs.yaml") in told
    assert f"{last}: Input should be" in told


def test_a_split_that_is_longer_than_a_calendar_is_refused_though_each_part_is_not(tmp_path: Path) -> None:
    content = yaml.safe_load(TEXT)
    content["attributes"]["training"]["split"] |= {
        "train_days": 30_000,
        "test_days": 30_000,
        "label_delay_days": 30_000,
    }
    assert "days together; 36500 is the most" in refusal(tmp_path, content)


@pytest.mark.parametrize("field", ["columns", "hashed"])
def test_the_journal_names_only_features_and_keys_that_there_are(tmp_path: Path, field: str) -> None:
    """A misspelt name would leave in clear what was to be hidden."""
    content = yaml.safe_load(TEXT)
    known = [content["attributes"]["training"]["features"][0], content["attributes"]["entity_keys"][0]]
    content["attributes"]["journal"] = {field: known}
    write(tmp_path, content)
    assert getattr(load_declaration("fraud", tmp_path).spec.journal, field) == known
    content["attributes"]["journal"] = {field: [*known, "amuont"]}
    assert f"journal.{field} names amuont; allowed are features and keys: {known[0]}" in refusal(tmp_path, content)


def write(folder: Path, content: dict[str, Any]) -> None:
    path = folder / "fraud" / "defs.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content))


def refusal(folder: Path, content: dict[str, Any]) -> str:
    write(folder, content)
    with pytest.raises(SpecError) as caught:
        load_declaration("fraud", folder)
    return str(caught.value)
