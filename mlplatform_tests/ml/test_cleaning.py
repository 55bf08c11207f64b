"""What policies learn, and what they then do to rows."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.errors import ArtifactError
from mlplatform.ml.cleaning import UNKNOWN, Cleaning
from mlplatform.ml.cleaning_fit import learn_cleaning
from mlplatform.ml.encoding import Encoding
from mlplatform.ml.examples import Examples
from mlplatform.ml.metrics import Floats, auc
from mlplatform.spec.cleaning import CategoricalCleaning, CleaningPolicy, NumericCleaning, TargetEncoding

ENCODING = Encoding(("amount", "shop"), {"shop": ("a", "b", "c", "d")})


def numeric(**fields: object) -> NumericCleaning:
    return NumericCleaning.model_validate({"kind": "numeric", "columns": ["amount"], **fields})


def categorical(**fields: object) -> CategoricalCleaning:
    return CategoricalCleaning.model_validate({"kind": "categorical", "columns": ["shop"], **fields})


def target(smoothing: float = 2) -> TargetEncoding:
    return TargetEncoding(kind="target", columns=["shop"], smoothing=smoothing)


def examples(
    amounts: Sequence[float] | Floats,
    shops: Sequence[float] | Floats | None = None,
    labels: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
    groups: Sequence[int] | None = None,
) -> Examples:
    shops = np.zeros(len(amounts)) if shops is None else shops
    return Examples(
        np.column_stack([amounts, shops]).astype(float),
        np.zeros(len(amounts), dtype=int) if labels is None else np.asarray(labels),
        None if weights is None else np.asarray(weights, dtype=float),
        None if groups is None else np.asarray(groups),
    )


def learn(policy: CleaningPolicy, train: Examples, encoding: Encoding = ENCODING) -> Cleaning:
    return learn_cleaning({policy.columns[0]: policy}, encoding, train, seed=7)[0]


def amounts_after(policy: NumericCleaning, train: Examples, values: Sequence[float]) -> list[float]:
    return learn(policy, train)(examples(values).rows)[:, 0].tolist()


numbers = st.lists(st.floats(-1e6, 1e6) | st.just(np.nan), min_size=1, max_size=60)


def test_a_cap_lies_at_quantiles_of_the_training_rows() -> None:
    train = examples(np.arange(1, 101))
    assert amounts_after(numeric(cap=[0.05, 0.9]), train, [-9, 5, 50, 90, 1e9, np.inf]) == [5, 5, 50, 90, 90, 90]


@pytest.mark.parametrize(("missing", "filled"), [("median", 2.0), ("mean", 4.0), (-1, -1.0)])
def test_a_missing_number_becomes_what_is_declared(missing: object, filled: float) -> None:
    train = examples([1, 1, 2, np.nan, 6, 10])
    assert amounts_after(numeric(missing=missing), train, [np.nan, 5]) == [filled, 5]


def test_a_missing_number_stays_missing_unless_declared() -> None:
    assert np.isnan(amounts_after(numeric(cap=[0, 1], scale="robust"), examples([1, 2, 3]), [np.nan])[0])


def test_scaled_numbers_have_mean_0_and_deviation_1_or_median_0_and_quartiles_1_apart() -> None:
    values = np.random.default_rng(0).lognormal(size=999)
    standard = np.array(amounts_after(numeric(scale="standard"), examples(values), values))
    robust = np.array(amounts_after(numeric(scale="robust"), examples(values), values))
    assert [standard.mean(), standard.std()] == pytest.approx([0, 1])
    assert [np.median(robust), np.subtract(*np.quantile(robust, [0.75, 0.25]))] == pytest.approx([0, 1], abs=0.02)


@pytest.mark.parametrize("scale", ["standard", "robust"])
@pytest.mark.parametrize("constant", [0.1, 3.0, -1e9])
def test_a_constant_feature_becomes_0_and_another_value_of_it_stays_in_proportion(scale: str, constant: float) -> None:
    train = examples([constant] * 10)
    assert amounts_after(numeric(scale=scale), train, [constant, constant + 1]) == pytest.approx([0, 1])


@pytest.mark.parametrize("scale", ["none", "standard", "robust"])
@pytest.mark.parametrize("missing", ["median", "mean"])
def test_a_feature_without_any_value_becomes_0(missing: str, scale: str) -> None:
    policy = numeric(missing=missing, scale=scale, cap=[0.01, 0.99])
    assert amounts_after(policy, examples([np.nan] * 5), [np.nan]) == [0]


@given(numbers, numbers)
@settings(max_examples=60, deadline=None)
def test_cleaning_a_number_keeps_the_order_and_gives_finite_numbers(train: list[float], seen: list[float]) -> None:
    policy = numeric(cap=[0.1, 0.9], missing="median", scale="standard")
    cleaned = np.array(amounts_after(policy, examples(train), seen))
    assert np.isfinite(cleaned).all()
    known = ~np.isnan(seen)
    order = np.argsort(np.array(seen)[known], kind="stable")
    assert (np.diff(cleaned[known][order]) >= 0).all()


@given(numbers, st.data())
@settings(max_examples=60, deadline=None)
def test_a_row_of_weight_2_is_two_rows(values: list[float], data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 3), min_size=len(values), max_size=len(values)))
    shops = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    labels = data.draw(st.lists(st.integers(0, 1), min_size=len(values), max_size=len(values)))
    weighted = examples(values, shops, labels, weights=counts)
    repeated = examples(*(np.repeat(each, counts) for each in (values, shops, labels)))
    for policy in (numeric(cap=[0.1, 0.8], missing="mean", scale="robust"), categorical(rare_below=3), target()):
        once, twice = learn(policy, weighted), learn(policy, repeated)
        assert once(weighted.rows) == pytest.approx(twice(weighted.rows), nan_ok=True, rel=1e-9, abs=1e-9)


def test_rare_categories_are_missing_and_the_others_are_numbered_anew() -> None:
    train = examples(np.zeros(7), [0, 1, 1, 1, 3, 3, np.nan])
    cleaning = learn(categorical(rare_below=2), train)
    assert cleaning(train.rows)[:, 1] == pytest.approx([np.nan, 0, 0, 0, 1, 1, np.nan], nan_ok=True)
    assert cleaning.encoding(ENCODING).categories == {"shop": ("b", "d")}


def test_missing_rare_and_new_categories_can_be_one_of_their_own() -> None:
    train = examples(np.zeros(6), [0, 1, 1, 3, 3, np.nan])
    cleaning = learn(categorical(rare_below=2, missing="category"), train)
    assert cleaning(examples([0] * 4, [0, 1, 2, np.nan]).rows)[:, 1].tolist() == [2, 0, 2, 2]
    assert cleaning.encoding(ENCODING).categories == {"shop": ("b", "d", UNKNOWN)}


def test_a_category_becomes_its_mean_label_drawn_towards_that_of_all() -> None:
    train = examples(np.zeros(8), [0, 0, 0, 0, 1, 1, 2, np.nan], [1, 1, 1, 0, 0, 0, 1, 0])
    cleaning = learn(target(smoothing=2), train)
    found = cleaning(examples([0] * 5, [0, 1, 2, 3, np.nan]).rows)[:, 1]
    assert found == pytest.approx([(3 + 1) / 6, (0 + 1) / 4, (1 + 1) / 3, 0.5, (0 + 1) / 3])
    assert cleaning.encoding(ENCODING).categories == {}


def test_an_unseen_category_has_the_mean_label_of_all_rows() -> None:
    cleaning = learn(target(), examples(np.zeros(4), [0, 0, 1, 1], [1, 0, 0, 0]))
    assert cleaning(examples([0, 0], [2, np.nan]).rows)[:, 1] == pytest.approx(0.25)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=2, max_size=40), st.data())
@settings(max_examples=60, deadline=None)
def test_what_a_training_row_sees_does_not_depend_on_its_own_label_nor_on_those_of_its_group(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    shops, labels = [shop for shop, _ in rows], np.array([label for _, label in rows])
    groups = data.draw(st.none() | st.lists(st.integers(0, 9), min_size=len(rows), max_size=len(rows)))
    chosen = data.draw(st.integers(0, len(rows) - 1))
    same = np.arange(len(rows)) == chosen if groups is None else np.array(groups) == groups[chosen]
    other = np.where(same, 1 - labels, labels)
    seen = [
        learn_cleaning({"shop": target()}, ENCODING, examples([0.0] * len(rows), shops, each, groups=groups), 7)[1]
        for each in (labels, other)
    ]
    assert (seen[0].rows[same, 1] == seen[1].rows[same, 1]).all()


def test_categories_that_say_nothing_say_nothing_to_the_rows_that_are_learned_from() -> None:
    random = np.random.default_rng(0)
    shops, labels = random.integers(0, 1000, 4000), random.integers(0, 2, 4000)
    encoding = Encoding(("amount", "shop"), {"shop": tuple(map(str, range(1000)))})
    train = examples(np.zeros(4000), shops, labels)
    cleaning, own = learn_cleaning({"shop": target()}, encoding, train, seed=7)
    assert auc(labels, cleaning(train.rows)[:, 1]) > 0.7
    assert auc(labels, own.rows[:, 1]) == pytest.approx(0.5, abs=0.03)


def test_mean_labels_of_amounts_work_as_those_of_yes_and_no() -> None:
    cleaning = learn(target(smoothing=1), examples(np.zeros(4), [0, 0, 1, 1], [10.0, 20.0, 50.0, 60.0]))
    assert cleaning(examples([0, 0], [0, 1]).rows)[:, 1] == pytest.approx([65 / 3, 145 / 3])


def test_columns_without_a_policy_are_left_alone_and_the_given_rows_too() -> None:
    train = examples([1, np.nan, 3], [0, np.nan, 2])
    before = train.rows.copy()
    cleaned = learn(numeric(missing="median"), train)(train.rows)
    assert cleaned[:, 1] == pytest.approx(before[:, 1], nan_ok=True)
    assert train.rows == pytest.approx(before, nan_ok=True)


@pytest.mark.parametrize(
    "policy", [numeric(cap=[0, 0.9], scale="robust"), numeric(), categorical(missing="category"), target()]
)
def test_fitted_policies_survive_json(policy: CleaningPolicy) -> None:
    train = examples([1.5, np.nan, 3, 9], [0, 1, 2, np.nan], [0, 1, 1, 0])
    cleaning = learn(policy, train)
    again = Cleaning.from_json(json.loads(json.dumps(cleaning.to_json(), allow_nan=False)), ENCODING.features)
    assert again == cleaning
    assert again(train.rows) == pytest.approx(cleaning(train.rows), nan_ok=True, rel=0, abs=0)


@pytest.mark.parametrize(
    ("stored", "message"),
    [({"amount": {"median": 3}}, "unexpected keyword"), ({"speed": {}}, "cleans speed, which it does not have")],
)
def test_policies_that_cannot_be_read_are_an_error(stored: dict[str, object], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Cleaning.from_json(stored, ENCODING.features)


def test_the_matrix_of_a_frame_is_cleaned_as_its_rows_are_one_by_one() -> None:
    frame = pd.DataFrame({"amount": [1.0, None, 900.0], "shop": ["a", "new", None]})
    train = examples(np.arange(100), np.arange(100) % 4, np.arange(100) % 2)
    policies = {"amount": numeric(cap=[0.1, 0.9], missing="median", scale="standard"), "shop": target()}
    cleaning, _ = learn_cleaning(policies, ENCODING, train, 7)
    many = cleaning(ENCODING.matrix(frame))
    one_by_one = [cleaning(ENCODING.matrix(frame.iloc[at : at + 1]))[0] for at in range(3)]
    assert np.isfinite(many).all()
    assert (many == np.array(one_by_one)).all()
