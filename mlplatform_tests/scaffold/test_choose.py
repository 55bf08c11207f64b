"""What is chosen from a table, and what is said of it."""

import math
import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import Result

from mlplatform.contracts.check import check_rows
from mlplatform.contracts.load import load_contract
from mlplatform.errors import ScaffoldError
from mlplatform.ingest.open import open_table
from mlplatform.lake.lake import Lake
from mlplatform.lake.tables import merge_rows
from mlplatform.scaffold import usable
from mlplatform.scaffold.names import legal_names
from mlplatform.scaffold.write_contract import contract_text
from mlplatform.scaffold.write_defs import defs_text
from mlplatform.scaffold.write_models import _staging
from mlplatform.spec import UseCase, load_declaration
from mlplatform.spec.candidate import LightGBMCandidate
from mlplatform_tests.scaffold.conftest import Look, Table, as_text, customers, extended, kinds


def test_each_kind_of_column_becomes_what_it_is(look: Look) -> None:
    plan = look(customers(400))
    made = {feature.name: feature.kind for feature in plan.features}
    assert made == {
        "visits": "whole",
        "spent": "number",
        "channel": "category",
        "since_days": "number",
        "since_month": "whole",
        "since_weekday": "whole",
    }
    assert plan.key is not None
    assert plan.key.name == "customer_id"
    assert plan.target.classes == ("no", "yes")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("constant", lambda i, row: "same"),
        ("nearly empty", lambda i, row: 1 if i % 50 == 0 else ""),
        ("empty", lambda i, row: "NA"),
        ("identifier", lambda i, row: f"K-{i:05d}"),
        ("text", lambda i, row: f"the customer said that number {i} was fine and would come again soon"),
        ("leak", lambda i, row: 1 if row[-1] == "yes" else 0),
        ("leak", lambda i, row: "2024-01-01" if row[-1] == "yes" else ""),
        ("unread", lambda i, row: f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.2020"),
        ("unread", lambda i, row: f"{i % 90},{i % 10}00"),
        ("unread", lambda i, row: f"{i % 90}.5 %"),
        ("unread", lambda i, row: f"error {i}" if i % 20 == 0 else i % 77),
        ("code", lambda i, row: f"{i // 1.5:.0f}x"),
    ],
)
def test_a_column_that_is_no_feature_is_left_out_with_its_reason(
    kind: str, value: Callable[[int, list[object]], object], look: Look
) -> None:
    plan = look(extended("odd", value), entity="customer_id")
    assert kinds(plan) == {"odd": kind}
    assert "odd" not in {feature.source for feature in plan.features}


def test_a_column_can_be_used_or_left_out_whatever_is_thought_of_it(look: Look) -> None:
    table = extended("told", lambda i, row: 1 if row[-1] == "yes" else 0)
    plan = look(table, use=["told"], leave_out=["visits"])
    names = {feature.name for feature in plan.features}
    assert "told" in names
    assert "visits" not in names


def test_labels_that_pandas_wrote_with_a_point_are_positive_where_they_say_one_and_show_leaks(look: Look) -> None:
    table: Table = [["visits", "told", "bought"]]
    # More ones than zeros: the rarer class is not the positive one.
    labels = ["" if i % 10 == 0 else "0.0" if i % 5 == 1 else "1.0" for i in range(400)]
    table += [[i % 17, label.replace("1.0", "7"), label] for i, label in enumerate(labels)]
    plan = look(table, target="bought")
    assert plan.target.classes == ("0.0", "1.0")
    assert kinds(plan)["told"] == "leak"


def test_what_is_missing_where_the_target_is_seems_to_be_learned_with_it(look: Look) -> None:
    draw = random.Random(1)
    table: Table = [["a", "after", "amount"]]
    for i in range(400):
        known = i % 8 != 0
        table.append([draw.random(), draw.random() if known else "", draw.random() * i if known else ""])
    assert kinds(look(table, target="amount")) == {"after": "leak"}


def test_a_text_that_means_missing_is_missing_where_the_target_is_too(look: Look) -> None:
    draw = random.Random(1)
    table: Table = [["a", "after", "amount"]]
    for i in range(400):
        known = i % 8 != 0
        table.append([draw.random(), draw.random() if known else "?", draw.random() * i if known else "NA"])
    plan = look(table, target="amount")
    assert kinds(plan) == {"after": "leak"}
    assert plan.target.naive > 0


def test_a_time_with_an_offset_that_lies_after_its_row_is_no_feature(look: Look) -> None:
    table: Table = [["day", "paid", "visits", "wanted"]]
    # By the clock on the wall it lies before.
    table += [
        [f"2024-01-{1 + i % 28:02d} 12:00:00", f"2024-01-{1 + i % 28:02d} 10:00:00-05:00", i % 11, i % 3 == 0]
        for i in range(400)
    ]
    assert kinds(look(table, time="day"))["paid"] == "leak"


@pytest.mark.parametrize("odd", ["inf", "-Infinity", "1.5e308", "-1.5e308"])
def test_what_is_infinite_is_no_value_and_what_is_nearly_so_has_no_bound(odd: str, look: Look) -> None:
    plan = look(extended("odd", lambda i, row: odd if i % 9 == 0 else i % 20 / 2))
    column = plan.profile.column("odd")
    assert column is not None
    assert column.kind == "float"
    assert (column.missing > 0) == (odd[-1] in "fy")
    # So that the source reads it as none, too.
    assert column.markers == ((odd,) if column.missing else ())
    assert "inf" not in contract_text(plan)


def test_a_column_that_shall_be_used_is_used_among_very_many(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usable, "MOST_FEATURES", 1)
    draw = random.Random(5)
    plan = look(
        [
            [*row[1:4], *(f"c{i}" if at == 0 else draw.random() for i in range(6)), row[-1]]
            for at, row in enumerate(customers(400))
        ],
        use=["c0", "c1", "c2", "c3", "c4", "c5"],
    )
    assert {f"c{i}" for i in range(6)} <= {feature.name for feature in plan.features}


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1], "binary"),
        (["low", "middle", "high"], "multiclass"),
        ([1, 2, 3, 4, 5], "multiclass"),
        (list(range(50)), "regression"),
        ([i / 7 for i in range(60)], "regression"),
    ],
)
def test_the_task_is_guessed_from_the_values(values: list[object], task: str, look: Look) -> None:
    table = extended("aim", lambda i, row: values[i % len(values)])
    plan = look(table, target="aim")
    assert plan.target.task == task
    assert plan.target.guessed


def test_with_a_time_the_last_fifth_judges(look: Look) -> None:
    plan = look(extended("day", lambda i, row: f"2023-{1 + i // 34:02d}-{1 + i % 28:02d}", 400), time="day")
    assert plan.split.kind == "time"
    whole = plan.split.train_days + plan.split.tune_days + plan.split.test_days
    assert 0.15 < plan.split.test_days / whole < 0.25


def test_parts_of_times_have_names_of_their_own_and_the_bounds_of_what_they_are(look: Look) -> None:
    table = customers(400)
    since = [str(row[4]) for row in table[1:]]
    header = ["ts", "event", "end_of_month", *table[0]]
    rows = [[f"2024-{1 + i // 34:02d}-{1 + i % 28:02d}", day, day, *table[i + 1]] for i, day in enumerate(since)]
    plan = look([header, *rows], time="ts")
    names = [feature.name for feature in plan.features]
    assert len(set(names)) == len(names)
    assert {"event_month", "event_month_", "event_hour"} <= set(names)
    bounds = {feature.name: feature.bounds for feature in plan.features}
    assert bounds["end_of_month_days"] is None
    assert bounds["end_of_month_month"] == (1, 12)
    days = next(line for line in contract_text(plan).splitlines() if line.strip().startswith("end_of_month_days:"))
    assert "le=" not in days


def test_a_target_that_drifts_is_said(look: Look) -> None:
    draw = random.Random(3)
    table: Table = [["day", "x", "amount"]]
    table += [[f"2023-{1 + i // 40:02d}-{1 + i % 28:02d}", draw.random(), i + draw.random()] for i in range(400)]
    plan = look(table, target="amount", time="day")
    assert "target drift" in {note.kind for note in plan.notes}


def test_few_positives_and_rows_that_are_there_twice_are_said(look: Look) -> None:
    table = [
        [row[0] if i == 0 else "x", *row[1:-1], row[-1] if i == 0 else int(i % 14 == 0)]
        for i, row in enumerate(customers(700))
    ]
    plan = look([*table, *table[1:60]])
    assert {"imbalance", "duplicates"} <= {note.kind for note in plan.notes}


def test_an_entity_whose_rows_repeat_is_dealt_as_a_whole(look: Look) -> None:
    plan = look(extended("household", lambda i, row: f"h{i // 4}"), entity="household")
    assert plan.split.key == "household"
    assert "household" not in {feature.name for feature in plan.features}


def test_texts_that_mean_missing_are_found_and_declared(project: Path, new: Callable[..., Result]) -> None:
    table = extended("score of", lambda i, row: "NA" if i % 5 == 0 else "?" if i % 7 == 0 else i % 11)
    (project / "data.csv").write_text(as_text(table), encoding="utf-8")
    assert new("data.csv").exit_code == 0
    source = load_declaration("shop", project / "use_cases").spec.sources[0]
    assert source.missing_values == {"score_of": ["?", "NA"]}


def test_looking_writes_nothing(project: Path, new: Callable[..., Result]) -> None:
    (project / "data.csv").write_text(as_text(customers()), encoding="utf-8")
    result = new("data.csv", "--look")
    assert result.exit_code == 0
    assert "nothing was written" in result.output
    assert not (project / "use_cases").exists()


def test_what_is_written_is_a_declaration_of_the_platform(project: Path, new: Callable[..., Result]) -> None:
    (project / "data.csv").write_text(as_text(customers()), encoding="utf-8")
    assert new("data.csv").exit_code == 0
    spec = load_declaration("shop", project / "use_cases").spec
    assert isinstance(spec, UseCase)
    assert {path.name for path in (project / "use_cases" / "shop" / "models").iterdir()} == {
        "_sources.yml",
        "_shop.yml",
        "shop_stg_records.sql",
        "shop_spine.sql",
        "shop_features.sql",
    }


def test_legal_names_differ_where_the_given_ones_do() -> None:
    names = legal_names(["A b", "a_b", "a-b", "select", "row_id", "1", "ß", "日"])
    assert len(set(names.values())) == len(names)
    assert all(name.isidentifier() for name in names.values())


@pytest.mark.parametrize(
    "word", ["y", "N", "yes", "No", "on", "Off", "true", "False", "NULL", "~", "1e5", "0x1f", ".inf"]
)
def test_every_legal_name_is_a_text_in_yaml(word: str) -> None:
    name = legal_names([word])[word]
    assert yaml.safe_load(f"[{name}]") == [name]
    # PyYAML takes these two for texts, YAML 1.1 does not.
    assert name not in ("y", "n")


def test_the_lake_takes_every_legal_name(lake: Lake) -> None:
    awkward = ["row_id", "rowid", "begin_snapshot", "end_snapshot", "select", "order", "a b", "rows", "Group By"]
    columns = {legal: [1] for legal in legal_names(awkward).values()}
    lake.commit(lambda con: merge_rows(con, "raw_shop.records", pa.table(columns), ["select_"]), "rows")
    with lake.read() as con:
        read = con.execute(f"SELECT {', '.join(columns)} FROM raw_shop.records").fetchall()
    assert read == [tuple(1 for _ in columns)]


def test_a_positive_class_of_few_rows_is_refused(look: Look) -> None:
    with pytest.raises(ScaffoldError, match="at least 25 rows"):
        look([[*row[:-1], row[-1] if i == 0 else int(i < 10)] for i, row in enumerate(customers(300))])


def test_blanks_around_texts_count_neither_when_looked_at_nor_in_the_lake(look: Look) -> None:
    towns, classes = ["Berlin", " Berlin", "Bonn ", "  "], [" <=50K", ">50K "]
    rows = [[i, towns[i % 4], classes[(i // 4) % 2]] for i in range(400)]
    plan = look([["visits", "town", "wanted"], *rows])
    sql = re.sub(r"\{\{ source\([^)]*\) \}\}", "given", _staging(plan))
    visits, town, wanted = zip(*rows, strict=True)
    given = pa.table({plan.key_name: range(400), "visits": visits, "town": town, "wanted": wanted})
    given = given.append_column("_loaded_at", pa.array([datetime(2026, 1, 1)] * 400))
    with duckdb.connect() as con:
        con.register("given", given)
        found = con.execute(f"SELECT DISTINCT label, town FROM ({sql})").fetchall()
    assert {town for _, town in found} == {"Berlin", "Bonn", None}
    assert {label for label, _ in found} == {0, 1}


@pytest.mark.parametrize("text", ["k.A.", "INF", "+inf", "#DIV/0!", "NAN", "1e400"])
def test_a_text_among_many_numbers_means_that_there_is_none_and_the_source_says_so(
    text: str, project: Path, new: Callable[..., Result]
) -> None:
    table = extended("odd", lambda i, row: text if i % 20 == 0 else i % 77 / 2)
    (project / "data.csv").write_text(as_text(table), encoding="utf-8")
    result = new("data.csv", "--entity", "customer_id")
    assert result.exit_code == 0, result.output
    declared = load_declaration("shop", project / "use_cases")
    assert declared.spec.sources[0].missing_values == {"odd": [text]}
    assert "odd" in declared.spec.training.features
    assert "odd" not in declared.spec.training.categorical
    assert open_table(declared.spec.sources[0], declared.folder).read_all()["odd"].null_count == 20


def test_numbers_with_a_decimal_comma_are_numbers_and_the_source_reads_them_so(
    project: Path, new: Callable[..., Result]
) -> None:
    table = extended("preis", lambda i, row: f"{1 + i % 3}.{i:03},{i % 100:02}" if i % 5 else str(i))
    (project / "data.csv").write_text(as_text(table, ";"), encoding="utf-8")
    result = new("data.csv", "--entity", "customer_id", target="preis")
    assert result.exit_code == 0, result.output
    assert "preis: an amount, 0 to 3398.98" in result.output
    declared = load_declaration("shop", project / "use_cases")
    read = open_table(declared.spec.sources[0], declared.folder).read_all()["preis"].to_pylist()
    assert [float(value) for value in read[:3]] == [0, 2001.01, 3002.02]


def test_an_infinite_number_of_a_parquet_file_is_missing_in_the_source_too(
    project: Path, new: Callable[..., Result]
) -> None:
    header, *rows = customers(400)
    columns = dict(zip(map(str, header), map(list, zip(*rows, strict=True)), strict=True))
    columns["spent"] = [math.inf if i % 10 == 0 else -math.inf if i % 11 == 0 else i / 7 for i in range(400)]
    pq.write_table(pa.table(columns), project / "data.parquet")
    result = new("data.parquet")
    assert result.exit_code == 0, result.output
    declared = load_declaration("shop", project / "use_cases")
    read = open_table(declared.spec.sources[0], declared.folder).read_all()
    contract = load_contract(declared.folder, declared.spec.contract.module, "records")
    checked = check_rows(contract, read, key=declared.spec.sources[0].key)
    assert checked.bad_rows == 0, checked.cases
    assert checked.good["spent"].null_count == 73


@pytest.mark.parametrize("code", ["01067", "A-1"])
def test_codes_with_leading_zeros_and_letters_stay_categories(code: str, look: Look) -> None:
    plan = look(extended("code", lambda i, row: code if i % 3 else i % 60), entity="customer_id")
    assert {feature.name: feature.kind for feature in plan.features}["code"] == "category"


def dated(stray: str, rows: int = 400, year: int = 2023) -> Table:
    return extended("day", lambda i, row: stray if i == 7 else f"{year}-{1 + i // 34:02d}-{1 + i % 28:02d}", rows)


@pytest.mark.parametrize("stray", ["1899-12-30", "0001-01-01", "9999-12-31", "2026-06-30 12:00:00", "2099-01-01"])
def test_a_stray_time_is_named_and_the_split_goes_by_the_other_rows(stray: str, look: Look) -> None:
    plain, plan = (look(dated(day, year=2015), time="day") for day in ("2015-05-05", stray))
    for days in ("train_days", "tune_days", "test_days"):
        # A row less moves a cut by a day or two.
        assert getattr(plan.split, days) == pytest.approx(getattr(plain.split, days), abs=2)
    assert [stray[:10] in note.text for note in plan.notes if note.kind == "stray time"] == [True]
    assert not [note for note in plain.notes if note.kind == "stray time"]


@pytest.mark.parametrize("stray", ["1899-12-30", "2021-06-30 12:00:00"])
def test_the_contract_refuses_the_stray_time_and_takes_what_comes_later(
    stray: str, project: Path, new: Callable[..., Result]
) -> None:
    (project / "data.csv").write_text(as_text(dated(stray, year=2015)), encoding="utf-8")
    assert new("data.csv", "--time", "day").exit_code == 0
    declared = load_declaration("shop", project / "use_cases")
    contract = load_contract(declared.folder, declared.spec.contract.module, "records")
    table = dated(stray, year=2015)
    table += [["2026-01-01", 5000, *table[1][2:]]]
    rows = pa.table({str(name): list(map(str, values)) for name, *values in zip(*table, strict=True)})
    checked = check_rows(contract, rows, key=["customer_id"], time_column="day")
    assert checked.bad["day"].to_pylist() == [stray]


def test_rows_that_grow_more_frequent_are_not_stray(look: Look) -> None:
    """A shop that opened five years ago, and has most of its rows from the last one."""
    days = [datetime(2019, 1, 1) + timedelta(days=(1 - (1 - i / 400) ** 2) * 1800) for i in range(400)]
    plan = look(extended("day", lambda i, row: f"{days[i]:%Y-%m-%d}"), time="day")
    assert "stray time" not in {note.kind for note in plan.notes}


def test_many_late_moments_far_behind_the_others_are_refused(look: Look) -> None:
    table = extended("day", lambda i, row: f"2015-{1 + i % 12:02}-{1 + i % 28:02}", 2000)
    for i in range(25):
        table[40 + i][0] = f"2024-01-{1 + i:02}"
    with pytest.raises(ScaffoldError, match="would judge by next to no rows"):
        look(table, time="day")


@pytest.mark.parametrize("odd", ["infinity", "-infinity"])
def test_infinite_times_go_to_quarantine_where_they_are_few_and_refused_where_they_are_many(
    odd: str, project: Path, new: Callable[..., Result]
) -> None:
    def parquet(every: int) -> None:
        days = ", ".join(
            f"('{odd if i % every == 7 else f'2024-01-{1 + i % 28:02}'}', {i % 7}, {i % 2})" for i in range(400)
        )
        duckdb.sql(
            f"COPY (SELECT day::TIMESTAMP AS day, x, wanted FROM (VALUES {days}) AS t(day, x, wanted)) "
            "TO 'data.parquet'"
        )

    parquet(400)
    result = new("data.parquet", "--time", "day", "--look")
    assert result.exit_code == 0, result.output
    assert "day: 1 of 400 rows have no time" in result.output
    parquet(10)
    result = new("data.parquet", "--time", "day", "--look")
    assert "40 of 400 rows have no readable time (an infinite one is none)" in result.output


def test_a_delay_of_the_label_leaves_gaps_out_of_the_training_days(look: Look) -> None:
    plan = look(dated("2023-05-05"), time="day", label_delay_days=20)
    split = plan.split
    assert split.kind == "time"
    assert split.train_days + split.tune_days + split.test_days + 3 * 20 <= 365
    assert look(dated("2023-05-05"), time="day", label_delay_days=150).split.kind == "group"


@pytest.mark.parametrize(
    ("target", "rows", "params"),
    [
        ("wanted", 150_000, {}),
        ("wanted", 300_000, {"num_leaves": 16, "learning_rate": 0.1}),
        ("wanted", 900_000, {"num_leaves": 31, "learning_rate": 0.1}),
        ("spent", 900_000, {}),
    ],
)
def test_of_very_many_rows_trees_of_classes_are_larger_and_not_searched_for(
    target: str, rows: int, params: dict[str, float], look: Look
) -> None:
    plan = look(customers(400), target=target)
    plan = replace(plan, target=replace(plan.target, labelled=rows))
    [trees, _] = UseCase.model_validate(yaml.safe_load(defs_text(plan))["attributes"]).training.candidates
    assert isinstance(trees, LightGBMCandidate)
    assert trees.params == params
    assert (trees.tuning.trials == 0) == (rows > 200_000)


def test_letters_of_other_scripts_are_written_in_ascii() -> None:
    names = ["größe", "Straße", "ÅRSLØN", "Дата рождения", "Ηλικία", "Zażółć", "µg/l"]
    assert list(legal_names(names).values()) == [
        "grosse",
        "strasse",
        "arslon",
        "data_rozhdeniia",
        "ilikia",
        "zazolc",
        "ug_l",
    ]
