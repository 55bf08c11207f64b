from mlplatform.lake.column_lineage import trace_columns

TABLES = {"fraud.spine": ["id", "at", "amount"], "fraud.past": ["id", "at", "amount", "label"]}


def test_a_column_is_traced_through_ctes_windows_and_unions_to_the_tables_it_reads() -> None:
    sql = """
        with rows as (select id, amount from lake.fraud.spine union all select id, amount from lake.fraud.past),
        means as (select id, avg(amount) over (partition by id) as mean from rows)
        select s.id, s.amount / m.mean as ratio, 1 as one
        from lake.fraud.spine as s join means as m using (id)
    """
    traced = trace_columns(sql, TABLES)
    # The partition's key decides which rows are averaged, so it counts.
    assert traced["ratio"] == {(t, c) for t in ("fraud.spine", "fraud.past") for c in ("id", "amount")}
    assert traced["one"] == set()


def test_a_star_is_every_column_of_its_table() -> None:
    assert trace_columns("select * from lake.fraud.past", TABLES) == {
        name: {("fraud.past", name)} for name in TABLES["fraud.past"]
    }


def test_what_a_table_function_makes_comes_from_no_table() -> None:
    traced = trace_columns("select p.id, n, p.at + n as later from lake.fraud.past as p, range(1, 4) as t (n)", TABLES)
    assert traced == {"id": {("fraud.past", "id")}, "n": set(), "later": {("fraud.past", "at")}}
