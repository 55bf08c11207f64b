"""The Open Inference Protocol's part of a service's OpenAPI document."""

from typing import Any

from mlplatform.serving.inference_v2 import model_metadata
from mlplatform.serving.scoring import Live

__all__ = ["v2_paths", "v2_schemas"]

_JSON = "application/json"


def v2_paths(live: Live) -> dict[str, Any]:
    """The paths of the one model that is served; with `/versions/{version}` before the last part they are the same."""
    place = f"/v2/models/{live.bundle.use_case}"
    unavailable = {"503": _answer("No model is loaded yet", "V2Error")}
    refused = {
        "400": _answer("The tensors do not fit the model's inputs", "V2Error"),
        "404": _answer("Another model or version is served", "V2Error"),
        "413": _answer("Too large", "V2Error"),
        "415": _answer("Neither JSON nor JSON with raw tensors behind it", "V2Error"),
        "422": _answer("Rows that break the contract", "V2Error"),
        "500": _answer("The model gave no finite number, or the service failed", "V2Error"),
    }
    return {
        "/v2": {"get": _operation("v2_server", "Name and version of the server", _answer("The server", "V2Server"))},
        "/v2/health/live": {"get": _operation("v2_live", "200 while the process answers", _answer("Alive", "V2Live"))},
        "/v2/health/ready": {
            "get": _operation(
                "v2_ready",
                "200 with a live model, 503 while there is none",
                _answer("A model answers", "V2Ready"),
                {"503": _answer("None does yet", "V2Ready")},
            )
        },
        place: {"get": _operation("v2_model", "Inputs and outputs", _answer("The model", "V2Model"), unavailable)},
        f"{place}/ready": {
            "get": _operation("v2_model_ready", "Whether it answers", _answer("Ready", "V2ModelReady"), unavailable)
        },
        f"{place}/infer": {
            "post": {
                **_operation(
                    "v2_infer", "Predictions of tensors", _answer("Tensors", "V2Answer"), refused | unavailable
                ),
                "requestBody": {
                    "required": True,
                    "content": {_JSON: {"schema": _ref("V2Request"), "example": _example(live)}},
                },
            }
        },
    }


def v2_schemas() -> dict[str, Any]:
    """What the paths speak of; the same for every model."""
    text, truth = {"type": "string"}, {"type": "boolean"}
    shape = {"type": "array", "items": {"type": "integer", "minimum": -1}}
    numbers = {"type": "array", "items": {}, "description": "Row after row; null for a missing value."}
    kind = {"type": "string", "enum": [*("BOOL", "FP64", "FP32", "BYTES"), *(f"INT{n}" for n in (8, 16, 32, 64))]}
    tensor = _object({"name": text, "datatype": kind, "shape": shape, "data": numbers})
    described = _object({"name": text, "datatype": text, "shape": shape})
    tensors = {"type": "array", "items": _ref("V2Tensor"), "minItems": 1}
    wanted = {"type": "array", "items": _object({"name": text}), "description": "All but `reasons` if left out."}
    listed = {"type": "array", "items": _ref("V2Described")}
    return {
        "V2Tensor": tensor,
        "V2Described": described,
        "V2Request": {**_object({"inputs": tensors}), "properties": {"id": text, "inputs": tensors, "outputs": wanted}},
        "V2Answer": _object({"model_name": text, "model_version": text, "outputs": tensors}),
        "V2Server": _object({"name": text, "version": text, "extensions": {"type": "array", "items": text}}),
        "V2Model": _object(
            {"name": text, "versions": {"type": "array", "items": text}, "platform": text}
            | {"inputs": listed, "outputs": listed}
        ),
        "V2Live": _object({"live": truth}),
        "V2Ready": _object({"ready": truth}),
        "V2ModelReady": _object({"name": text, "ready": truth}),
        "V2Error": _object({"error": text}),
    }


def _example(live: Live) -> dict[str, Any]:
    """One row, a tensor for each feature."""
    row = live.example()
    inputs = model_metadata(live)["inputs"]
    return {"inputs": [{**each, "shape": [1], "data": [row[each["name"]]]} for each in inputs]}


def _operation(
    identity: str, summary: str, found: dict[str, Any], others: dict[str, Any] | None = None
) -> dict[str, Any]:
    tags = ["Open Inference Protocol v2"]
    return {"operationId": identity, "summary": summary, "tags": tags, "responses": {"200": found, **(others or {})}}


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": _ref(schema)}}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
