"""The texts of the dbt models: staging, spine, features, and their YAML."""

from collections.abc import Iterator

from mlplatform.scaffold.plan import Feature, Plan
from mlplatform.scaffold.quoting import as_yaml
from mlplatform.scaffold.write_contract import SOURCE

__all__ = ["model_texts"]


def model_texts(plan: Plan) -> dict[str, str]:
    """File name -> text, of everything below `models/`."""
    name = plan.name
    return {
        "_sources.yml": _sources(plan),
        f"_{name}.yml": "\n".join(_described(plan)) + "\n",
        f"{name}_stg_{SOURCE}.sql": _staging(plan),
        f"{name}_spine.sql": _spine(plan),
        f"{name}_features.sql": _features(plan),
    }


def _carried(plan: Plan) -> list[str]:
    """Legal names of the columns that go from staging to the features."""
    used = [each.source for each in plan.features if each.source != "event_time"]
    group = [plan.names[plan.entity.name]] if plan.entity is not None else []
    return list(dict.fromkeys([*group, *used]))


def _read(plan: Plan, name: str) -> str:
    """A column as it was looked at: blanks around a text do not count, and nothing but blanks is missing."""
    column = next(each for each in plan.raw_columns if plan.names[each.name] == name)
    return f"nullif(trim({name}), '') as {name}" if column.kind == "string" else name


def _staging(plan: Plan) -> str:
    raw = f"{{{{ source('raw_{plan.name}', '{SOURCE}') }}}}"
    time = "_loaded_at" if plan.time is None else plan.names[plan.time.name]
    why = "-- The table has no time: a row's time is when it was read first." if plan.time is None else ""
    delay = plan.label_delay_days
    known = "event_time" if not delay else f"event_time + interval {delay} day"
    lines = [
        "-- Typed by the contract; labels as numbers, and when they were known.",
        *([why] if why else []),
        "with typed as (",
        "    select",
        f"        {plan.key_name},",
        f"        cast({time} as timestamp) as event_time,",
        *(f"        {_read(plan, name)}," for name in _carried(plan)),
        f"        {_label(plan)} as label",
        f"    from {raw}",
        ")",
        "",
        "select",
        "    *,",
        f"    case when label is not null then {known} end as label_known_at",
        "from typed",
    ]
    return "\n".join(lines) + "\n"


def _label(plan: Plan) -> str:
    target = plan.target
    if target.task == "regression":
        return f"cast({target.name} as double)"
    cases = [f"when {_literal(value)} then {code}" for code, value in enumerate(target.classes)]
    return f"cast(case trim(cast({target.name} as varchar)) {' '.join(cases)} end as tinyint)"


def _literal(text: str) -> str:
    """SQL that dbt's templates leave alone, whatever the text holds."""
    escaped = text.replace("'", "''")
    for brace in "{}":
        escaped = escaped.replace(brace, f"' || chr({ord(brace)}) || '")
    return f"('{escaped}')" if "||" in escaped else f"'{escaped}'"


def _spine(plan: Plan) -> str:
    columns = [plan.key_name, "event_time", *_carried(plan), "label", "label_known_at"]
    listed = ",\n".join(f"    {name}" for name in columns)
    return (
        "-- The examples: what is to be scored, when, and what it turned out to be.\n"
        f"select\n{listed}\nfrom {{{{ ref('{plan.name}_stg_{SOURCE}') }}}}\n"
    )


def _features(plan: Plan) -> str:
    group = [f"    s.{plan.names[plan.entity.name]}"] if plan.entity is not None else []
    columns = [f"    s.{plan.key_name}", "    s.event_time", *group, *map(_selected, plan.features)]
    listed = ",\n".join(columns)
    return (
        "-- One row per row of the spine. A feature of other rows (their number, their mean) may only see rows with\n"
        "-- event_time < s.event_time; docs/use-case.md says how, and the leakage check watches it.\n"
        f"select\n{listed}\nfrom {{{{ ref('{plan.name}_spine') }}}} as s\n"
    )


def _selected(feature: Feature) -> str:
    plain = feature.sql == f"s.{feature.name}"
    return f"    {feature.sql}" if plain else f"    {feature.sql} as {feature.name}"


def _sources(plan: Plan) -> str:
    return f"""version: 2

sources:
  - name: raw_{plan.name}
    description: Rows as they arrived, with `_loaded_at`; a row that came twice is stored once.
    database: lake
    schema: raw_{plan.name}
    tables:
      - name: {SOURCE}
        description: What the source of the use case gave.
        config:
          meta:
            dagster: {{asset_key: [{plan.name}, raw_{SOURCE}]}}
"""


def _described(plan: Plan) -> Iterator[str]:
    name, key = plan.name, plan.key_name
    yield from ("version: 2", "", "models:")
    yield from _model(plan, f"stg_{SOURCE}", "Typed rows with their label.")
    yield from _column(key, "Identifies the row.", ["unique", "not_null"])
    yield from _column("event_time", "When it happened.", ["not_null"])
    yield from _column("label", _label_words(plan), _label_tests(plan))
    yield ""
    yield from _model(plan, "spine", "The examples: what is to be scored, when, and what it turned out to be.")
    yield from _column(key, "Identifies the row.", ["unique", "not_null"])
    yield from _column("event_time", "When it happened.", ["not_null"])
    yield from _column("label", _label_words(plan), [])
    yield from _column("label_known_at", "When the label became known.", [])
    yield ""
    yield from _model(plan, "features", "What is known of a row when it is scored.", meta=True)
    yield from _column(
        key, "Identifies the row.", ["unique", "not_null", f"same_keys: {{arguments: {{to: ref('{name}_spine')}}}}"]
    )
    yield from _column("event_time", "When it happened.", ["not_null"])
    if plan.entity is not None:
        yield from _column(plan.names[plan.entity.name], "Rows of one of these belong together.", ["not_null"])
    for feature in plan.features:
        yield from _column(feature.name, feature.description, [])


def _model(plan: Plan, stage: str, description: str, *, meta: bool = False) -> Iterator[str]:
    yield f"  - name: {plan.name}_{stage}"
    yield f"    description: {_quoted(description)}"
    yield "    config:"
    yield "      meta:"
    yield f"        dagster: {{asset_key: [{plan.name}, {stage}]}}"
    if meta:
        yield "        # What is needed to run the compiled text elsewhere: the leakage check, the service."
        yield "        feature_query:"
        yield f"          spine: {plan.name}_spine"
        yield f"          key: {plan.key_name}"
        yield "          time: event_time"
        yield "          known_at: {label: label_known_at}"
        yield "          history: {}"
    yield "    columns:"


def _column(name: str, description: str, tests: list[str]) -> Iterator[str]:
    yield f"      - name: {name}"
    yield f"        description: {_quoted(description)}"
    if tests:
        yield "        data_tests:"
        yield from (f"          - {test}" for test in tests)


def _label_words(plan: Plan) -> str:
    if plan.target.task == "regression":
        return f"{plan.target.column.name}; missing where nobody knows yet."
    return "; ".join(f"{code}: {value}" for code, value in enumerate(plan.target.classes))


def _label_tests(plan: Plan) -> list[str]:
    if plan.target.task == "regression":
        return []
    codes = list(range(len(plan.target.classes)))
    return [f"accepted_values: {{arguments: {{values: {codes}, quote: false}}}}"]


def _quoted(text: str) -> str:
    """A YAML string that holds no template of dbt's."""
    return as_yaml(text.replace("{", "(").replace("}", ")"))
