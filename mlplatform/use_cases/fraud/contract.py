"""What must hold for the fraud use case's tables: one model per source (`transactions`), and `Features`.

Descriptions and examples are shown to the people who call the service. A customer without history has no means, no
ratios and no time since: those features may be missing; counts and shares never are.
"""

from typing import Any

import pandas as pd
import pandera.pandas as pa

__all__ = ["Features", "Transactions"]

_LOOKBACK_DAYS = 45  # the features look back no further


class Transactions(pa.DataFrameModel):  # type: ignore[misc]  # pandera is untyped here, see pyproject.toml
    """A card transaction as it arrives. Ids are unique by the source's `key`."""

    transaction_id: int = pa.Field(description="Identifies the transaction.", metadata={"example": 99000017})
    event_time: pd.Timestamp = pa.Field(
        description="When the card was used (UTC).", metadata={"example": "2018-08-08T21:03:00"}
    )
    customer_id: int = pa.Field(ge=0, description="The card holder.", metadata={"example": 1234})
    terminal_id: int = pa.Field(ge=0, description="Where the card was used.", metadata={"example": 5678})
    # The simulator's normal amounts round to 0.00 at times, and real ones do for card checks.
    amount: float = pa.Field(ge=0, le=1e6, description="What was paid, in one currency.", metadata={"example": 57.16})
    is_fraud: pd.Int32Dtype = pa.Field(
        nullable=True, isin=[0, 1], description="1: fraud; empty while nobody knows.", metadata={"example": 0}
    )
    label_known_at: pd.Timestamp | None = pa.Field(
        nullable=True,
        description="When `is_fraud` became known; staging sets 7 days after the event where it is absent.",
    )
    fraud_scenario: pd.Int32Dtype | None = pa.Field(
        nullable=True, isin=[0, 1, 2, 3], description="Simulator only: the kind of fraud. Never a feature."
    )


def _never_missing(description: str, example: float, most: float | None = None) -> Any:
    return pa.Field(ge=0, le=most, description=description, metadata={"example": example})


def _with_history(description: str, example: float, most: float | None = None) -> Any:
    return pa.Field(ge=0, le=most, nullable=True, description=description, metadata={"example": example})


def _flag(description: str) -> Any:
    return pa.Field(isin=[0, 1], description=description, metadata={"example": 0})


class Features(pa.DataFrameModel):  # type: ignore[misc]
    """What is known of a transaction at its own time; dbt_project/models/fraud/fraud_features.sql computes it."""

    transaction_id: int = pa.Field(description="Identifies the transaction.", metadata={"example": 99000017})
    event_time: pd.Timestamp = pa.Field(description="When the card was used (UTC).")
    amount: float = _never_missing("What is to be paid.", 57.16, most=1e6)
    is_night: int = _flag("1 before 7 o'clock.")
    is_weekend: int = _flag("1 on Saturday and Sunday.")

    customer_count_1d: int = _never_missing("The customer's transactions of the last day.", 2)
    customer_count_7d: int = _never_missing("The customer's transactions of the last 7 days.", 15)
    customer_count_30d: int = _never_missing("The customer's transactions of the last 30 days.", 61)
    customer_mean_amount_1d: float = _with_history("Their mean amount, last day.", 48.2)
    customer_mean_amount_7d: float = _with_history("Their mean amount, last 7 days.", 52.9)
    customer_mean_amount_30d: float = _with_history("Their mean amount, last 30 days.", 51.3)
    customer_hours_since_last: float = _with_history("Hours since the customer's last transaction.", 6.5, most=30 * 24)
    amount_over_mean_30d: float = _with_history("Amount over the customer's mean of 30 days.", 1.1)
    amount_over_usual_30d: float = _with_history("Amount over the customer's geometric mean of 30 days.", 1.3)
    customer_large_amounts_14d: int = _never_missing("Transactions of 14 days over 3 times the customer's usual.", 0)
    customer_largest_ratio_14d: float = _with_history("Largest amount over the usual, last 14 days.", 2.4)
    customer_known_frauds_30d: int = _never_missing("The customer's frauds that became known in 30 days.", 0)

    terminal_count_1d: int = _never_missing("Transactions at the terminal, last day.", 1)
    terminal_count_7d: int = _never_missing("Transactions at the terminal, last 7 days.", 7)
    terminal_count_30d: int = _never_missing("Transactions at the terminal, last 30 days.", 29)
    terminal_risk_1d: float = _never_missing("Share of fraud among labels known in the last day.", 0.0, most=1)
    terminal_risk_7d: float = _never_missing("Share of fraud among labels known in 7 days.", 0.0, most=1)
    terminal_risk_30d: float = _never_missing("Share of fraud among labels known in 30 days.", 0.0, most=1)
    terminal_known_frauds_30d: int = _never_missing("Frauds at the terminal that became known in 30 days.", 0)
    terminal_days_since_first_fraud: float = _with_history("Days since its first known fraud.", 12.5, _LOOKBACK_DAYS)
    terminal_days_since_last_fraud: float = _with_history("Days since its last known fraud.", 8.0, _LOOKBACK_DAYS)
    terminal_legitimate_since_fraud: pd.Int64Dtype = _with_history("Known legitimate ones since that fraud.", 0)
