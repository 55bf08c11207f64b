"""From log-odds that a model gives to probabilities that come true. Stored as JSON, never pickled."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from mlplatform.errors import ArtifactError
from mlplatform.ml.metrics import Floats, Labels

__all__ = ["Calibration", "Isotonic", "Sigmoid", "calibration_from_json", "calibration_to_json", "fit_calibration"]


SUREST = 1e-6
"""Steps of an isotonic calibration may say 0 or 1, which have no log-odds."""


@dataclass(frozen=True)
class Sigmoid:
    """Platt (1999) on the log-odds: probability = 1 / (1 + exp(-(slope * z + intercept))).

    Slope 1 and intercept 0 is no calibration.
    """

    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def fit(cls, log_odds: Floats, labels: Labels, weights: Floats | None = None) -> Self:
        """Fit by maximum likelihood on rows the model did not learn from."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
        fitted = model.fit(log_odds.reshape(-1, 1), labels, sample_weight=weights)
        return cls(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))

    def __call__(self, log_odds: Floats) -> Floats:
        """Calibrated probabilities, [n]."""
        return _logistic(self.calibrate(log_odds))

    def calibrate(self, log_odds: Floats) -> Floats:
        """Calibrated log-odds, [n]."""
        return self.slope * log_odds + self.intercept


@dataclass(frozen=True)
class Isotonic:
    """A rising step-free line through knots (log-odds, probability); flat outside of them."""

    log_odds: tuple[float, ...]
    probabilities: tuple[float, ...]

    @classmethod
    def fit(cls, log_odds: Floats, labels: Labels, weights: Floats | None = None) -> Self:
        """Fit by pool-adjacent-violators on rows the model did not learn from."""
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(out_of_bounds="clip").fit(log_odds, labels, sample_weight=weights)
        return cls(tuple(map(float, fitted.X_thresholds_)), tuple(map(float, fitted.y_thresholds_)))

    def __call__(self, log_odds: Floats) -> Floats:
        """Calibrated probabilities, [n]."""
        return np.interp(log_odds, self.log_odds, self.probabilities)

    def calibrate(self, log_odds: Floats) -> Floats:
        """Calibrated log-odds, [n]; probabilities of 0 and 1 count as `SUREST` and one less it."""
        from scipy.special import logit

        calibrated: Floats = logit(np.clip(self(log_odds), SUREST, 1 - SUREST))
        return calibrated


Calibration = Sigmoid | Isotonic


def _logistic(log_odds: Floats) -> Floats:
    """1 / (1 + exp(-z)) without overflow, as scipy's `expit` but for the last digit, and without its import: the first
    answer of a service would wait for it (0.1 to 0.3 s)."""
    small = np.exp(-np.abs(log_odds))
    return np.where(log_odds >= 0, 1.0, small) / (1.0 + small)


def fit_calibration(kind: str, log_odds: Floats, labels: Labels, weights: Floats | None = None) -> Calibration:
    """The calibration a candidate asked for (`sigmoid`, `isotonic` or `none`), learned from its tune rows.

    `weights` [n] count a row so often.
    """
    if kind == "none":
        return Sigmoid()
    return Sigmoid.fit(log_odds, labels, weights) if kind == "sigmoid" else Isotonic.fit(log_odds, labels, weights)


def calibration_to_json(calibration: Calibration) -> dict[str, Any]:
    """A JSON object with its `kind`."""
    kind = "sigmoid" if isinstance(calibration, Sigmoid) else "isotonic"
    return {"kind": kind, **asdict(calibration)}


def calibration_from_json(stored: dict[str, Any]) -> Calibration:
    """Back from `calibration_to_json`; raises ArtifactError on a kind this version does not know."""
    match stored:
        case {"kind": "sigmoid", "slope": slope, "intercept": intercept}:
            return Sigmoid(float(slope), float(intercept))
        case {"kind": "isotonic", "log_odds": log_odds, "probabilities": probabilities}:
            return Isotonic(tuple(map(float, log_odds)), tuple(map(float, probabilities)))
        case _:
            raise ArtifactError(f"unknown calibration {stored!r}; retrain the model or use the version that wrote it")
