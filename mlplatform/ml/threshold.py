"""The score from which acting is cheaper than not acting."""

from mlplatform.spec.task import Costs

__all__ = ["cost_threshold"]


def cost_threshold(costs: Costs) -> float:
    """Probability at which both decisions cost the same, when right decisions cost nothing.

    Elkan, The Foundations of Cost-Sensitive Learning (IJCAI 2001), equation 2. It holds for calibrated
    probabilities only.
    """
    return costs.false_positive / (costs.false_positive + costs.false_negative)
