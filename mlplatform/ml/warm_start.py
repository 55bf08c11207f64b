"""Where a search begins: with the defaults, and the parameters of an earlier model of the same kind."""

from collections.abc import Callable
from typing import Any

from mlplatform.ml.trainer import Params, Trainer

__all__ = ["Note", "starting_points"]

Note = Callable[[str], None]
"""Told in a sentence what a person may want to know of a search."""


def starting_points(trainer: Trainer, earlier: Params | None, note: Note | None = None) -> list[Params]:
    """The trainer's defaults, then `earlier` where there is one, made to fit into today's space.

    Of `earlier`, what today's space does not know is left out, what it lacks comes from the defaults, and what lies
    outside is drawn to the nearest bound; `note` is told each of these.
    """
    defaults = trainer.defaults()
    if earlier is None:
        return [defaults]
    space = _space(trainer)
    told = note or (lambda _: None)
    if unknown := sorted(set(earlier) - set(space)):
        told(f"warm start: left out, since they are not searched today: {', '.join(unknown)}")
    point = {name: _fitted(name, earlier.get(name), defaults[name], bounds, told) for name, bounds in space.items()}
    return [defaults] if point == dict(defaults) else [defaults, point]


def _space(trainer: Trainer) -> dict[str, Any]:
    """Optuna's distribution of each parameter that a trainer suggests."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    finally:
        optuna.logging.set_verbosity(verbosity)
    trainer.suggest(trial)
    return dict(trial.distributions)


def _fitted(name: str, value: Any, default: Any, bounds: Any, told: Note) -> Any:
    if value is None:
        return default
    if hasattr(bounds, "choices"):
        if value not in bounds.choices:
            told(f"warm start: {name}={value} is none of {', '.join(map(str, bounds.choices))}, takes {default}")
            return default
        return value
    if isinstance(value, str):
        told(f"warm start: {name}={value} is no number, takes {default}")
        return default
    inside = min(max(value, bounds.low), bounds.high)
    if inside != value:
        told(f"warm start: {name}={value} lies outside {bounds.low} to {bounds.high}, takes {inside}")
    return round(inside) if isinstance(bounds.low, int) else float(inside)
