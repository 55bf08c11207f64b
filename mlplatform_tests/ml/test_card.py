from dataclasses import replace
from typing import Any

import pytest

from mlplatform.ml.card import CardFacts, model_card
from mlplatform.spec import UseCase, load_declaration


@pytest.fixture(scope="module")
def spec() -> UseCase:
    return load_declaration("fraud").spec


def group(name: str, positives: int, metric: float | None) -> dict[str, Any]:
    return {
        "column": "is_night",
        "group": name,
        "rows": 1000,
        "evidence": positives,
        "metric": metric,
        "low": metric,
        "high": metric,
    }


@pytest.fixture
def facts() -> CardFacts:
    contender = {"contender": "lightgbm", "metric": 0.7, "metric_low": 0.6, "metric_high": 0.8, "brier": 0.01}
    contender |= {"calibration_error": 0.002, "cost_per_row": 0.1, "latency_ms": 0.2}
    gate = {"name": "metric_floor", "passed": True, "value": 0.7, "limit": 0.5, "detail": "must reach | 0.5"}
    return CardFacts(
        version=3,
        run_id="abc",
        candidate="lightgbm",
        params={"train_rows": "12000", "kind": "lightgbm", "test_end": "2018-08-14"},
        metrics={"test_auc": 0.9, "test_auc_low": 0.88, "test_auc_high": 0.92, "test_rows": 1000.0},
        dataset={"lake/snapshot": 17, "content_sha256": "ff00", "as_of": "2018-08-21"},
        importance={"amount": 0.1, "terminal_risk_7d": 0.9},
        comparison={
            "verdict": "promoted",
            "metric": "average_precision",
            "contenders": [contender],
            "gates": [gate],
            "slices": [group("0", 400, 0.71), group("1", 4, None)],
        },
    )


def test_a_card_gives_each_figure_with_its_interval(spec: UseCase, facts: CardFacts) -> None:
    text = model_card(spec, facts)
    assert "| auc | 0.9 | 0.88 to 0.92 (95%) |" in text
    assert "| rows | 1,000 |  |" in text


def test_a_card_names_the_groups_that_are_too_small_to_judge(spec: UseCase, facts: CardFacts) -> None:
    text = model_card(spec, facts)
    assert "| is_night = 1 | 1,000 | 4 | cannot be had |" in text
    assert "Too few positives to judge (less than 30): is_night = 1 (4)." in text


def test_a_card_shows_a_gate_that_failed(spec: UseCase, facts: CardFacts) -> None:
    failed = facts.comparison["gates"][0] | {"passed": False}
    text = model_card(spec, replace(facts, comparison={**facts.comparison, "gates": [failed]}))
    assert "| metric floor | **no** | 0.7 | 0.5 | must reach \\| 0.5 |" in text


def test_a_card_puts_the_most_important_feature_first(spec: UseCase, facts: CardFacts) -> None:
    text = model_card(spec, facts)
    assert text.index("terminal_risk_7d") < text.index("| amount |")


def test_a_card_names_the_rows_it_learned_from(spec: UseCase, facts: CardFacts) -> None:
    text = model_card(spec, facts)
    assert "snapshot 17" in text
    assert "`ff00`" in text
