import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mlplatform.errors import TrainingError
from mlplatform.ml.recipe import Recipe, compare_models
from mlplatform.ml.train import TrainedCandidate
from mlplatform.spec.candidate import EnsembleCandidate
from mlplatform_tests.ml.conftest import train
from mlplatform_tests.ml.data import AS_OF, CANDIDATES, training


def recipe_of(trained: TrainedCandidate, name: str) -> Recipe:
    return Recipe(CANDIDATES[name](), training(), trained.params, "event_time", AS_OF.isoformat())


@pytest.mark.parametrize("name", ["trees", "linear", "forest", "boosting"])
def test_a_recipe_read_from_json_gives_the_same_model_byte_for_byte(
    name: str, rows: pd.DataFrame, tmp_path: Path
) -> None:
    trained = train(name, rows)
    trained.model.save(tmp_path)
    again = Recipe.from_json(json.loads(json.dumps(recipe_of(trained, name).to_json())))
    likeness = compare_models(tmp_path, again.train(rows), rows)
    assert likeness.identical
    assert len(likeness.files) == 2


def test_a_model_of_other_rows_is_told_apart(
    rows: pd.DataFrame, trained_trees: TrainedCandidate, tmp_path: Path
) -> None:
    trained_trees.model.save(tmp_path)
    likeness = compare_models(tmp_path, recipe_of(trained_trees, "trees").train(rows.iloc[::2]), rows)
    assert not likeness.identical
    assert likeness.largest_difference > 0


def blend_recipe(trained_blend: TrainedCandidate, trees: TrainedCandidate, linear: TrainedCandidate) -> Recipe:
    members = (recipe_of(trees, "trees"), recipe_of(linear, "linear"))
    candidate = EnsembleCandidate(kind="ensemble", name="blend")
    return Recipe(candidate, training(), trained_blend.params, "event_time", AS_OF.isoformat(), members)


def test_a_blend_is_rebuilt_with_its_members(
    rows: pd.DataFrame,
    trained_blend: TrainedCandidate,
    trained_trees: TrainedCandidate,
    trained_linear: TrainedCandidate,
    tmp_path: Path,
) -> None:
    trained_blend.model.save(tmp_path)
    recipe = blend_recipe(trained_blend, trained_trees, trained_linear)
    again = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert compare_models(tmp_path, again.train(rows), rows).identical


def test_a_blend_without_the_recipes_of_its_members_says_so(
    rows: pd.DataFrame,
    trained_blend: TrainedCandidate,
    trained_trees: TrainedCandidate,
    trained_linear: TrainedCandidate,
) -> None:
    recipe = replace(blend_recipe(trained_blend, trained_trees, trained_linear), members=())
    with pytest.raises(TrainingError, match="the recipe of blend was kept without those of what it blends"):
        recipe.train(rows)
