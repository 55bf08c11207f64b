"""What must hold for the fraud use case's tables: one model per source (`transactions`), and `Features`."""

import pandas as pd
import pandera.pandas as pa

__all__ = ["Transactions"]


class Transactions(pa.DataFrameModel):  # type: ignore[misc]  # pandera is untyped here, see pyproject.toml
    """A card transaction as it arrives. Ids are unique by the source's `key`."""

    transaction_id: int = pa.Field(description="Identifies the transaction.", metadata={"example": 1000017})
    event_time: pd.Timestamp = pa.Field(
        description="When the card was used (UTC).", metadata={"example": "2018-08-08T21:03:00"}
    )
    customer_id: int = pa.Field(ge=0, description="The card holder.", metadata={"example": 1234})
    terminal_id: int = pa.Field(ge=0, description="Where the card was used.", metadata={"example": 5678})
    # The simulator's normal amounts round to 0.00 at times, and real ones do for card checks.
    amount: float = pa.Field(ge=0, le=1e6, description="What was paid, in one currency.", metadata={"example": 57.16})
    is_fraud: pd.Int32Dtype = pa.Field(
        isin=[0, 1], description="1: fraud; known from `label_known_at` on.", metadata={"example": 0}
    )
    label_known_at: pd.Timestamp | None = pa.Field(
        nullable=True,
        description="When `is_fraud` became known; staging sets 7 days after the event where it is absent.",
    )
    fraud_scenario: pd.Int32Dtype | None = pa.Field(
        nullable=True, isin=[0, 1, 2, 3], description="Simulator only: the kind of fraud. Never a feature."
    )
