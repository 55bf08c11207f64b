"""What the answers of each task look like, for machines (OpenAPI) and for people (the page)."""

from typing import TYPE_CHECKING, Any

from mlplatform.ml.heads import Classes, Order, Probability, Quantiles

if TYPE_CHECKING:
    from mlplatform.ml.model import Model
    from mlplatform.serving.bundle import Bundle

__all__ = ["answer_facts", "answer_schema", "in_words"]


def answer_schema(model: "Model") -> dict[str, Any]:
    """JSON Schema of each key of an answer, all of them required."""
    head = model.head
    match head:
        case Probability():
            return {
                "score": {"type": "number", "minimum": 0, "maximum": 1, "description": "Calibrated probability."},
                "decision": {"type": "boolean", "description": "True if the score reaches the threshold."},
            }
        case Classes():
            share = {"type": "number", "minimum": 0, "maximum": 1}
            names = list(head.names)
            every = {"type": "object", "properties": dict.fromkeys(names, share), "required": names}
            return {
                "class": {"type": "string", "enum": names, "description": "The likeliest."},
                "score": {**share, "description": "Its calibrated probability."},
                "probabilities": {**every, "description": "Of each class; they add up to 1."},
            }
        case Quantiles():
            number = {"type": "number"}
            levels = [f"{level:g}" for level in head.levels]
            quantiles = {"type": "object", "properties": dict.fromkeys(levels, number), "required": levels}
            return {
                "forecast": {**number, "description": "The median."},
                "quantiles": {**quantiles, "description": "By level; the outer two are the interval."},
            }
        case Order():
            return {"score": {"type": "number", "description": "Higher comes first; says nothing by itself."}}
        case _:
            raise AssertionError(f"no schema for a head of {head.task}")


def in_words(bundle: "Bundle") -> str:
    """One sentence for a reader."""
    head, names = bundle.model.head, bundle.outcomes
    match head:
        case Probability():
            return (
                f"The score is the probability of “{names.positive}”: from {head.threshold:.4g} on that is decided "
                f"(true), below it “{names.negative}” (false)."
            )
        case Classes():
            return f"One of {len(head.names)} classes; the likeliest is answered, with the probability of each."
        case Quantiles():
            share = head.levels[-1] - head.levels[0]
            return f"Forecasts are medians; the outer two quantiles should hold {share:.0%} of what comes true."
        case Order():
            return "Candidates come in the order of their scores."
        case _:
            raise AssertionError(f"no words for a head of {head.task}")


def answer_facts(bundle: "Bundle") -> dict[str, Any]:
    """What is needed to draw an answer: the task, what contributions are measured in, of a decision its threshold and
    what the two are called."""
    head, names = bundle.model.head, bundle.outcomes
    facts: dict[str, Any] = {"task": head.task, "unit": head.unit}
    if not isinstance(head, Probability):
        return facts
    return {**facts, "threshold": head.threshold, "outcomes": {"true": names.positive, "false": names.negative}}
