from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from mlplatform.errors import SpecError
from mlplatform.spec import EnsembleCandidate, UseCase, load_declaration
from mlplatform.spec.load import USE_CASES

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
        ("folds: 3", "folds: many", "split.folds", "valid integer"),
        ("task: binary", "task: binery", "task", "'binary'"),
        ("floor: 0.5", "floor: 5", "gates.floor", "less than or equal to 1"),
        ("max_bad_share", "max_bad_shrae", "contract.max_bad_shrae", "not permitted"),
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


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        (
            "kind: lightgbm",
            "kind: lightgmb",
            "training.candidates.0.kind",
            "['lightgbm', 'sklearn', 'torch', 'keras', 'ensemble']",
        ),
        ("kind: python", "kind: pyhton", "sources.0.kind", "['python', 'files']"),
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


def test_the_declaration_as_it_is_keeps_the_json_schema() -> None:
    assert Draft202012Validator(UseCase.model_json_schema()).is_valid(yaml.safe_load(TEXT)["attributes"])


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
