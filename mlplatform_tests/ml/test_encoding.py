"""What a model learns from and what a service reads are the same numbers, whatever the texts are."""

import math

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from mlplatform.contracts.rules import Rule
from mlplatform.ml.encoding import Encoding
from mlplatform.serving.rows import RowReader

TEXTS = st.lists(st.none() | st.sampled_from(["", " ", "a", "A", "nan", "None", "ü"]), min_size=1, max_size=12)


@given(learned=TEXTS, asked=TEXTS)
def test_a_category_a_missing_value_and_an_empty_text_are_read_as_they_were_learned(
    learned: list[str | None], asked: list[str | None]
) -> None:
    encoding = Encoding.learn(pd.DataFrame({"shop": pd.Series(learned, dtype=object)}), ["shop"], ["shop"])
    trained_on = encoding.matrix(pd.DataFrame({"shop": pd.Series(asked, dtype=object)}))
    rule = Rule(name="shop", type="string", nullable=True, example="a")
    served, problems = RowReader(("shop",), [rule], encoding.categories).read([{"shop": value} for value in asked])
    assert problems == []
    for value, ours, theirs in zip(asked, trained_on[:, 0], served[:, 0], strict=True):
        assert ours == theirs or (math.isnan(ours) and math.isnan(theirs)), value
        assert math.isnan(ours) == (value is None or value not in learned)
