"""Clients that others' generators make of a service's document, at work against the service."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from mlplatform.serving.app import create_app
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.scoring import Live, Slot
from mlplatform_tests.serving.conftest import GOOD
from mlplatform_tests.serving.over_http import over_http
from mlplatform_tests.serving.test_lookup import films, sales  # noqa: F401

pytestmark = pytest.mark.slow

PREDICTS = """
import json, sys
from generated import Client
from generated.api.default import predict, ready
from generated.models import Error, Many, ManyAnswer, One, OneAnswer, Row
client, row = Client(base_url=sys.argv[1]), json.loads(sys.argv[2])
one = predict.sync(client=client, body=One.from_dict(row))
assert isinstance(one, OneAnswer), one
many = predict.sync(client=client, body=Many(rows=[Row.from_dict(row)] * 2, explain=False))
assert isinstance(many, ManyAnswer), many
wrong = predict.sync(client=client, body=One.from_dict({**row, "amount": -1}))
assert isinstance(wrong, Error), wrong
assert ready.sync(client=client).model.version == one.model.version
print(json.dumps([one.score, one.reasons[0].feature, many.predictions[1].score, wrong.problems[0].field]))
"""
LOOKS_UP = """
import json, sys
from generated import Client
from generated.api.default import predict
from generated.models import ByKey, ByKeyAnswer
found = predict.sync(client=Client(base_url=sys.argv[1]), body=ByKey.from_dict(json.loads(sys.argv[2])))
assert isinstance(found, ByKeyAnswer), found
print(json.dumps(found.to_dict()))
"""
TYPED = """
import type { components, paths } from "./api";
type Body = paths["/predict"]["post"]["requestBody"]["content"]["application/json"];
const row: components["schemas"]["One"] = %s;
const body: Body = row;
// @ts-expect-error the contract has no such channel
const wrong: components["schemas"]["One"] = { ...row, channel: "cash" };
export const decided = (answer: components["schemas"]["OneAnswer"]): boolean => answer.decision;
console.log(JSON.stringify(body), wrong.channel);
"""


def served(bundle: Path) -> Live:
    return Live.of(load_bundle(bundle), "case:v1")


def generate(url: str, folder: Path) -> None:
    """Refuses to go on where the generator warns that it leaves something out."""
    tool = Path(sys.executable).with_name("openapi-python-client")
    document = folder / "openapi.json"
    document.write_text(httpx.get(f"{url}/openapi.json", trust_env=False).text)
    command = [str(tool), "generate", "--path", str(document), "--meta", "none", "--fail-on-warning"]
    # It tidies up with ruff, which it looks for on the PATH.
    environment = {**os.environ, "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [*command, "--output-path", str(folder / "generated")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run(folder: Path, code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_generated_python_client_predicts_and_reads_problems(sealed: Path, tmp_path: Path) -> None:
    live = served(sealed)
    with over_http(create_app(Slot(live))) as url:
        generate(url, tmp_path)
        score, reason, again, field = json.loads(run(tmp_path, PREDICTS, url, json.dumps(GOOD)))

    assert score == again == live.predict([dict(GOOD)], explain=False)[0]["score"]
    assert reason in GOOD
    assert field == "amount"


@pytest.mark.parametrize(("case", "key"), [("films", {"user_id": 1, "k": 3}), ("sales", {"series": "s1"})])
def test_a_generated_python_client_asks_by_key(
    request: pytest.FixtureRequest, tmp_path: Path, case: str, key: dict[str, object]
) -> None:
    with over_http(create_app(Slot(served(request.getfixturevalue(case))))) as url:
        generate(url, tmp_path)
        found = json.loads(run(tmp_path, LOOKS_UP, url, json.dumps(key)))
        answer = httpx.post(f"{url}/predict", json=key, trust_env=False).json()

    assert {**found, "request_id": ""} == {**answer, "request_id": ""}


def test_generated_typescript_types_take_good_requests_and_refuse_bad_ones(sealed: Path, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed (Debian: apt-get install npm)")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "openapi-typescript@7", "typescript@5"]
    if subprocess.run(install, cwd=tmp_path, capture_output=True, check=False, timeout=300).returncode:
        pytest.skip("npm could not install openapi-typescript")
    with over_http(create_app(Slot(served(sealed)))) as url:
        (tmp_path / "openapi.json").write_text(httpx.get(f"{url}/openapi.json", trust_env=False).text)
    (tmp_path / "use.ts").write_text(TYPED % json.dumps(GOOD))
    commands = (["openapi-typescript", "openapi.json", "-o", "api.ts"], ["tsc", "--strict", "--noEmit", "use.ts"])
    for command in commands:
        done = subprocess.run(["npx", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
