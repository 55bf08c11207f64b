import pytest

from mlplatform.ml.encoding import Encoding
from mlplatform.ml.trainer import Params, trainer_for
from mlplatform.ml.warm_start import starting_points
from mlplatform_tests.ml.data import linear, training, trees

ENCODING = Encoding(("amount",))


def started(earlier: Params | None, **changes: object) -> tuple[list[Params], list[str]]:
    notes: list[str] = []
    trainer = trainer_for(trees(**changes), ENCODING, "auc", training().task)
    return starting_points(trainer, earlier, notes.append), notes


def test_without_an_earlier_model_the_search_starts_with_the_defaults() -> None:
    points, notes = started(None)
    assert points == [trainer_for(trees(), ENCODING, "auc", training().task).defaults()]
    assert notes == []


def test_an_earlier_point_of_the_space_comes_second_as_it_is() -> None:
    earlier = {**started(None)[0][0], "num_leaves": 20, "learning_rate": 0.1}
    assert started(earlier) == ([started(None)[0][0], earlier], [])


def test_the_defaults_are_not_tried_twice() -> None:
    assert len(started(started(None)[0][0])[0]) == 1


def test_what_lies_outside_is_drawn_to_the_bound_and_told() -> None:
    points, notes = started({"num_leaves": 500, "lambda_l2": 0.0})
    assert (points[1]["num_leaves"], points[1]["lambda_l2"]) == (32, 0.1)
    assert "warm start: num_leaves=500 lies outside 4 to 32, takes 32" in notes


def test_what_the_space_does_not_know_is_left_out_and_told_and_what_it_lacks_is_the_default() -> None:
    points, notes = started({"max_depth": 9, "num_leaves": 20})
    assert points[1] == {**points[0], "num_leaves": 20}
    assert notes == ["warm start: left out, since they are not searched today: max_depth"]


def test_a_parameter_that_is_declared_today_is_not_searched() -> None:
    points, _ = started({"num_leaves": 20, "learning_rate": 0.1}, params={"num_leaves": 4})
    assert "num_leaves" not in points[1]


@pytest.mark.parametrize(
    ("earlier", "point", "told"),
    [
        ({"C": 2.0, "balanced": True}, {"C": 2.0, "balanced": True}, 0),
        ({"C": 2, "balanced": "yes"}, {"C": 2.0, "balanced": False}, 1),
        ({"C": "much"}, {"C": 1.0, "balanced": False}, 1),
    ],
)
def test_choices_and_text_are_looked_at_too(earlier: Params, point: Params, told: int) -> None:
    notes: list[str] = []
    points = starting_points(trainer_for(linear(), ENCODING, "auc", training().task), earlier, notes.append)
    assert points[-1] == point
    assert len(notes) == told
