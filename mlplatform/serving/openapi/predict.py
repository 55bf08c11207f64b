"""Paths that ask the model: /predict, /predict_rows and /score."""

from typing import Any

from mlplatform.serving.column import example_value
from mlplatform.serving.openapi.parts import JSON, TURNED_AWAY, answer_of, ref
from mlplatform.serving.raw.endpoint import listed
from mlplatform.serving.scoring import Live

__all__ = ["predict_paths"]

_REFUSED = {
    **TURNED_AWAY,
    "400": answer_of("Not JSON", ref("Error")),
    "408": answer_of("The body took too long to arrive", ref("Error")),
    "413": answer_of("Too large", ref("Error")),
    "415": answer_of("Not application/json", ref("Error")),
    "422": answer_of("Rows that break the contract; every problem is named", ref("Error")),
    "500": answer_of("The model gave no finite number, or the service failed; there is no decision", ref("Error")),
}


def predict_paths(live: Live, newest: str | None, *, events: bool) -> dict[str, Any]:
    """`newest`: up to when raw events are known; `events`: whether they can be scored."""
    return {
        "/predict": {"post": _predict(live)},
        "/predict_rows": {"post": _predict_rows(live)},
        **(_score(live, newest) if events else {}),
    }


def _predict(live: Live) -> dict[str, Any]:
    example, lookup = live.example(), live.bundle.lookup
    one_or_many = [*([ref("ByKey")] if lookup else []), ref("One"), ref("Many")]
    answers = [ref("OneAnswer"), ref("ManyAnswer"), *([ref("ByKeyAnswer")] if lookup else [])]
    by_key = {"by key": {"summary": "By key", "value": lookup.example()}} if lookup else {}
    return {
        "operationId": "predict",
        "summary": "Score one row or many",
        "requestBody": _body(
            {"anyOf": one_or_many},
            **by_key,
            one={"summary": "By features", "value": example},
            many={"summary": "Many rows", "value": {"rows": [example], "explain": False}},
        ),
        "responses": {"200": answer_of("The predictions", {"anyOf": answers}), **_REFUSED},
    }


def _predict_rows(live: Live) -> dict[str, Any]:
    example = {"summary": "Many rows", "value": {"rows": [live.example()], "explain": False}}
    return {
        "operationId": "predict_rows",
        # The page makes a form for each path without a tag.
        "tags": ["BentoML"],
        "summary": "The same for BentoML's clients: many rows, and no reasons unless asked for",
        "requestBody": _body(ref("Many"), many=example),
        "responses": {"200": answer_of("The predictions", ref("ManyAnswer")), **_REFUSED},
    }


def _body(schema: dict[str, Any], **examples: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {JSON: {"schema": schema, "examples": examples}}}


def _score(live: Live, newest: str | None) -> dict[str, Any]:
    """POST /score, where the service computes features of raw events."""
    raw = live.bundle.raw
    if raw is None:
        return {}
    example = {rule.name: newest if newest and rule.type == "timestamp" else example_value(rule) for rule in raw.fields}
    several = {"summary": "Many events", "value": {"rows": [example], "explain": False}}
    many = {} if listed(live) else {"many": several}
    bodies = [ref("Event"), *([ref("Events")] if many else [])]
    answers = [ref("ByEventAnswer")] if listed(live) else [ref("OneAnswer"), ref("ManyAnswer")]
    return {
        "/score": {
            "post": {
                "operationId": "score",
                "summary": "Score what has happened; features are computed here",
                "requestBody": _body({"anyOf": bodies}, one={"summary": "By raw event", "value": example}, **many),
                "responses": {
                    "200": answer_of("The predictions", {"anyOf": answers}),
                    **_REFUSED,
                    "409": answer_of(
                        "Events that are older than the history here, or of which nothing is known", ref("Error")
                    ),
                    "422": answer_of("Events that break the contract", ref("Error")),
                    "503": answer_of("No model or no history is loaded yet, or too many events wait", ref("Error")),
                },
            }
        }
    }
