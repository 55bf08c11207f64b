"""The Open Inference Protocol's part of a service's OpenAPI document."""

from typing import Any

from mlplatform.serving.inference_v2 import model_metadata
from mlplatform.serving.openapi.parts import JSON, TURNED_AWAY, answer_of, object_of, ref
from mlplatform.serving.request import REQUEST_ID
from mlplatform.serving.scoring import Live

__all__ = ["v2_paths", "v2_schemas"]

_ID = {"type": "string", "pattern": f"^(?:{REQUEST_ID.pattern.decode()})?$"}


def v2_paths(live: Live) -> dict[str, Any]:
    """The paths of the one model that is served; with `/versions/{version}` before the last part they are the same."""
    place = f"/v2/models/{live.bundle.use_case}"
    unavailable = {**TURNED_AWAY, "503": answer_of("No model is loaded yet, or too much at once", ref("V2Error"))}
    refused = {
        "400": answer_of("The tensors do not fit the model's inputs", ref("V2Error")),
        "404": answer_of("Another model or version is served", ref("V2Error")),
        "408": answer_of("The body took too long to arrive", ref("Error")),
        "413": answer_of("Too large", ref("V2Error")),
        "415": answer_of("Neither JSON nor JSON with raw tensors behind it", ref("V2Error")),
        "422": answer_of("Rows that break the contract", ref("V2Error")),
        "500": answer_of("The model gave no finite number, or the service failed", ref("V2Error")),
    }
    return {
        "/v2": {
            "get": _operation("v2_server", "Name and version of the server", answer_of("The server", ref("V2Server")))
        },
        "/v2/health/live": {
            "get": _operation("v2_live", "200 while the process answers", answer_of("Alive", ref("V2Live")))
        },
        "/v2/health/ready": {
            "get": _operation(
                "v2_ready",
                "200 with a live model, 503 while there is none",
                answer_of("A model answers", ref("V2Ready")),
                {"503": answer_of("None does yet", ref("V2Ready"))},
            )
        },
        place: {
            "get": _operation("v2_model", "Inputs and outputs", answer_of("The model", ref("V2Model")), unavailable)
        },
        f"{place}/ready": {
            "get": _operation(
                "v2_model_ready", "Whether it answers", answer_of("Ready", ref("V2ModelReady")), unavailable
            )
        },
        f"{place}/infer": {
            "post": {
                **_operation(
                    "v2_infer", "Predictions of tensors", answer_of("Tensors", ref("V2Answer")), refused | unavailable
                ),
                "requestBody": {
                    "required": True,
                    "content": {JSON: {"schema": ref("V2Request"), "example": _example(live)}},
                },
            }
        },
    }


def v2_schemas(live: Live) -> dict[str, Any]:
    """What the paths speak of."""
    text, truth = {"type": "string"}, {"type": "boolean"}
    shape: dict[str, Any] = {"type": "array", "items": {"type": "integer", "minimum": -1}}
    sent = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2}
    numbers = {"type": "array", "items": {}, "description": "Row after row; null for a missing value."}
    kind = {"type": "string", "enum": [*("BOOL", "FP64", "FP32", "BYTES"), *(f"INT{n}" for n in (8, 16, 32, 64))]}
    tensor = object_of({"name": text, "datatype": kind, "shape": sent, "data": numbers})
    described = object_of({"name": text, "datatype": text, "shape": shape})
    tensors = {"type": "array", "items": ref("V2Tensor"), "minItems": 1}
    output = {"type": "string", "enum": [each["name"] for each in model_metadata(live)["outputs"]]}
    wanted = {"type": ["array", "null"], "items": object_of({"name": output})}
    wanted["description"] = "All but `reasons` if left out."
    listed = {"type": "array", "items": ref("V2Described")}
    return {
        "V2Tensor": tensor,
        "V2Described": described,
        "V2Request": {
            **object_of({"inputs": tensors}),
            "properties": {"id": _ID, "inputs": tensors, "outputs": wanted},
        },
        "V2Answer": object_of({"model_name": text, "model_version": text, "outputs": tensors}),
        "V2Server": object_of({"name": text, "version": text, "extensions": {"type": "array", "items": text}}),
        "V2Model": object_of(
            {"name": text, "versions": {"type": "array", "items": text}, "platform": text}
            | {"inputs": listed, "outputs": listed}
        ),
        "V2Live": object_of({"live": truth}),
        "V2Ready": object_of({"ready": truth}),
        "V2ModelReady": object_of({"name": text, "ready": truth}),
        "V2Error": object_of({"error": text}),
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
