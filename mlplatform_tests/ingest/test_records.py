"""JSON objects become rows without a loss, whatever they hold."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlplatform.ingest.records import at_path, records_table

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('aä1"\\\n,', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y.z"]), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=1, max_size=6)


def same(stored: Any, given: Any) -> bool:
    """Whether a stored value is the given one, or its JSON text."""
    if stored == given and type(stored) is type(given):
        return True
    return isinstance(stored, str) and not isinstance(given, str) and json.loads(stored) == given


@given(OBJECTS)
def test_every_value_is_stored_as_it_is_or_as_its_json(objects: list[dict[str, Any]]) -> None:
    table = records_table(objects, {"id": "id"})
    assert len(table) == len(objects)
    for name in table.column_names:
        for stored, record in zip(table[name].to_pylist(), objects, strict=True):
            assert same(stored, record.get(name)), (name, stored, record)


def test_names_with_dots_lead_into_what_is_nested_and_one_that_has_a_dot_is_found() -> None:
    assert at_path({"a": {"b": 1}}, "a.b") == 1
    assert at_path({"a.b": 2}, "a.b") == 2
    assert at_path({"a": 3}, "a.b") is None
    assert at_path([1], None) == [1]
