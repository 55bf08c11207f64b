"""A request and its answer as a person reads them in a terminal."""

from collections.abc import Mapping
from typing import Any

import click

from mlplatform.cli.requests import Sample
from mlplatform.cli.serve import Answer
from mlplatform.spec import Outcomes

__all__ = ["print_exchange"]

_LISTS = ("items", "forecasts", "predictions")


def print_exchange(sample: Sample, answer: Answer, names: Outcomes) -> None:
    """Title, request, and whatever came back."""
    click.secho(f"\n{sample.title}", bold=True)
    click.echo(f"  POST /predict  {_short(sample.row)}")
    if not answer.ok:
        for problem in answer.body.get("problems", [answer.body]):
            click.secho(f"  {answer.status}  {_flat(problem)}", fg="yellow")
    elif "decision" in answer.body:
        _print_decision(answer, names)
    elif "reasons" in answer.body:
        _print_one(answer)
    else:
        _print_entries(answer)


def _print_decision(answer: Answer, names: Outcomes) -> None:
    said = answer.body
    colour = "red" if said["decision"] else "green"
    decision = names.positive if said["decision"] else names.negative
    click.secho(
        f"  {answer.status}  score {said['score']:.4f}, decision {decision} ({said['model']['bento']})", fg=colour
    )
    click.secho("       what moved the score (log-odds):", dim=True)
    _print_reasons(said["reasons"])


def _print_one(answer: Answer) -> None:
    said = answer.body
    told = {name: value for name, value in said.items() if name not in ("model", "request_id", "probabilities")}
    click.secho(f"  {answer.status}  {_entry(told)} ({said['model']['bento']})", fg="green")
    click.secho("       what moved it:", dim=True)
    _print_reasons(said["reasons"])


def _print_entries(answer: Answer) -> None:
    said = answer.body
    known = "" if said["known"] else ", by the default: the key is not known"
    click.secho(f"  {answer.status}  as of {said['as_of']}{known} ({said['model']['bento']})", fg="green")
    for entry in next(said[name] for name in _LISTS if name in said):
        click.echo(f"       {_entry(entry)}")
        click.secho(f"           {', '.join(_reason(reason) for reason in entry.get('reasons', []))}", dim=True)


def _entry(entry: Mapping[str, Any]) -> str:
    told = {name: value for name, value in entry.items() if name != "reasons"}
    if (quantiles := told.pop("quantiles", None)) is not None:
        low, *_, high = quantiles.values()
        told["interval"] = f"{low:.4g} to {high:.4g}"
    return ", ".join(f"{name} {_value(value)}" for name, value in told.items())


def _print_reasons(reasons: list[dict[str, Any]]) -> None:
    for reason in reasons:
        click.echo(f"       {reason['contribution']:+6.2f}  {reason['feature']} = {_known(reason['value'])}")


def _reason(reason: Mapping[str, Any]) -> str:
    return f"{reason['contribution']:+.2f} {reason['feature']} = {_known(reason['value'])}"


def _known(value: Any) -> str:
    return "missing" if value is None else _value(value)


def _short(row: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{name} {_value(value)}" for name, value in list(row.items())[:4])
    return shown if len(row) <= 4 else f"{shown}, … ({len(row)} values)"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(problem: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in problem.items()) if isinstance(problem, dict) else str(problem)
