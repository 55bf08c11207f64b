"""Scores for a table of any size: one batch of rows in memory at a time."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from mlplatform.ml.heads import Classes, Probability, Quantiles
from mlplatform.ml.metrics import Floats
from mlplatform.ml.model import Model

__all__ = ["answer_columns", "score_batches"]


def score_batches(
    model: Model, batches: Iterable[pa.RecordBatch], kept: Sequence[str]
) -> Iterator[tuple[pa.Table, int]]:
    """The columns `kept` of each batch with the answers beside them, and the number of its rows.

    Raises EncodingError or ArtifactError of the model where a column is missing or of a type that it cannot take.
    """
    for batch in batches:
        table = pa.Table.from_batches([batch])
        answers = model.predict(model.matrix(table.select(list(model.features)).to_pandas()))
        told = table.select(list(kept))
        for name, values in answer_columns(model, answers).items():
            told = told.append_column(name, values)
        yield told, len(table)


def answer_columns(model: Model, answers: Floats) -> dict[str, pa.Array]:
    """`score` and, of yes or no, `decision`; of classes `class`, the likeliest, and its probability as `score`; of
    amounts `forecast` and a column per quantile, such as `q10`.

    `answers`: [n] or [n, levels].
    """
    head = model.head
    if isinstance(head, Quantiles):
        names = [f"q{100 * level:g}".replace(".", "_") for level in head.levels]
        quantiles = {name: pa.array(np.ascontiguousarray(answers[:, i])) for i, name in enumerate(names)}
        return {"forecast": pa.array(np.ascontiguousarray(answers[:, head.middle])), **quantiles}
    if isinstance(head, Classes):
        likeliest = answers.argmax(axis=1)
        return {
            "class": pa.array([head.names[code] for code in likeliest], pa.string()),
            "score": pa.array(answers.max(axis=1)),
        }
    scores = {"score": pa.array(answers)}
    return {**scores, "decision": pa.array(answers >= head.threshold)} if isinstance(head, Probability) else scores
