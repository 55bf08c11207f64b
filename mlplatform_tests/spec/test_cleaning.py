from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from mlplatform.errors import SpecError
from mlplatform.spec import UseCase, load_declaration
from mlplatform.spec.cleaning import NumericCleaning, TargetEncoding, describe_cleaning, policies_by_column
from mlplatform.spec.load import USE_CASES

TEXT = (USE_CASES / "fraud" / "defs.yaml").read_text()


def declared(folder: Path, cleaning: str, categorical: str = "[terminal_risk_1d]") -> Any:
    """The fraud declaration with a cleaning."""
    block = f"    cleaning:\n{cleaning}\n    categorical: {categorical}\n    split:"
    path = folder / "fraud" / "defs.yaml"
    path.parent.mkdir()
    path.write_text(TEXT.replace("    split:", block, 1))
    return load_declaration("fraud", folder).spec.training


def test_a_policy_without_columns_is_for_all_of_its_kind_that_no_other_names(tmp_path: Path) -> None:
    cleaning = """
      - {kind: numeric, cap: [0.001, 0.999], missing: median}
      - {kind: numeric, columns: [amount], missing: 0}
      - {kind: target, columns: [terminal_risk_1d], smoothing: 5}"""
    policies = declared(tmp_path, cleaning).policies
    assert policies["amount"].missing == 0
    assert isinstance(policies["terminal_risk_1d"], TargetEncoding)
    assert policies["terminal_risk_7d"].missing == "median"
    assert len(policies) == 15


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        (
            ["{kind: numeric, columns: [amuont]}"],
            "numeric names amuont; allowed are the features that are not categorical: amount, customer_mean",
        ),
        (["{kind: numeric, columns: [terminal_risk_1d]}"], "numeric names terminal_risk_1d; allowed are the features"),
        (
            ["{kind: target, columns: [amount]}"],
            "kind target names amount; allowed are the categorical features: terminal_risk_1d",
        ),
        (["{kind: categorical, columns: [amount]}"], "kind categorical names amount"),
        (["{kind: numeric, columns: [amount]}"] * 2, "cleaning names amount twice"),
        (["{kind: numeric, columns: [amount, amount]}"], "cleaning names amount twice"),
        (["{kind: numeric}"] * 2, "two cleaning policies of kind numeric name no `columns`"),
        (
            ["{kind: categorical}", "{kind: target, columns: [terminal_risk_1d]}"],
            "the cleaning policy of kind categorical without `columns` finds no feature",
        ),
        (["{kind: numeric, cap: [0.9, 0.1]}"], r"cap \[0.9, 0.1\] must name a lower and a higher quantile"),
        (["{kind: numeric, cap: [0.1, 2]}"], "less than or equal to 1"),
        (["{kind: numeric, rare_below: 3}"], "rare_below: Extra inputs are not permitted"),
        (["{kind: target}"], "columns: Field required"),
        (["{kind: log}"], "'numeric', 'categorical', 'target'"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_with_what_can(tmp_path: Path, policies: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        declared(tmp_path, "\n".join(f"      - {policy}" for policy in policies))
    assert "defs.yaml:" in str(caught.value)


def test_the_json_schema_names_a_wrong_kind_and_a_wrong_field() -> None:
    content = yaml.safe_load(TEXT)["attributes"]
    wrong = [{"kind": "numerical"}, {"kind": "numeric", "missing": "modus"}]
    content["training"]["cleaning"] = wrong
    found = [
        (".".join(map(str, error.absolute_path)), error.message)
        for error in Draft202012Validator(UseCase.model_json_schema()).iter_errors(content)
    ]
    assert [place for place, _ in found] == ["training.cleaning.0.kind", "training.cleaning.1.missing"]
    assert "['numeric', 'categorical', 'target']" in found[0][1]


def test_policies_are_told_in_one_line_each_group_of_columns_once() -> None:
    policies = policies_by_column(
        [
            NumericCleaning(kind="numeric", cap=(0.001, 0.999), missing="median"),
            NumericCleaning(kind="numeric", columns=["rate"]),
            TargetEncoding(kind="target", columns=["shop"]),
        ],
        ["amount", "shop", "rate", "age"],
        ["shop"],
    )
    assert describe_cleaning(policies) == (
        "amount, age: cap 0.001 to 0.999, missing median; shop: mean label, smoothing 20"
    )
    assert describe_cleaning({}) == "values as they come"
