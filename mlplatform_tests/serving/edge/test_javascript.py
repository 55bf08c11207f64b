"""The same bundle under onnxruntime-web (WebAssembly, as in a browser) in Node: the answers and refusals of runner.py.

It needs Node 20 and the npm package, which is no dependency of the platform:

    npm install --prefix /some/folder onnxruntime-web
    ONNXRUNTIME_WEB=/some/folder/node_modules/onnxruntime-web pytest mlplatform_tests/serving/edge/test_javascript.py
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.edge.hard_rows import hard_rows, wrong_rows
from mlplatform.serving.edge.runner import Model
from mlplatform.serving.scoring import Live
from mlplatform_tests.serving.edge.test_parity import Case, case  # noqa: F401

SCRIPT = """
import { readFile } from "node:fs/promises";
const [folder, web, rows, expect] = process.argv.slice(2);
const ort = await import(web);
const { openModel } = await import(folder + "/runner.mjs");
const model = await openModel(ort, (name) => readFile(folder + "/" + name), expect);
const answers = [];
for (const row of JSON.parse(await readFile(rows))) {
  answers.push(await model.predict([row]).then(([answer]) => answer, (refused) => refused.problems ?? String(refused)));
}
console.log(JSON.stringify(answers));
"""


@pytest.fixture(scope="module")
def web() -> str:
    folder = os.environ.get("ONNXRUNTIME_WEB", "")
    if not shutil.which("node") or not (Path(folder) / "dist" / "ort.node.min.mjs").is_file():
        pytest.skip("needs node, and ONNXRUNTIME_WEB naming the folder of npm's onnxruntime-web")
    return str(Path(folder) / "dist" / "ort.node.min.mjs")


def asked(folder: Path, web: str, rows: list[Any], there: Path, expect: str = "") -> "subprocess.CompletedProcess[str]":
    (there / "script.mjs").write_text(SCRIPT)
    (there / "rows.json").write_text(json.dumps(rows))
    command = ["node", str(there / "script.mjs"), str(folder), web, str(there / "rows.json"), expect]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def unguessed(problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the guess which feature was meant."""
    return [{**problem, "problem": problem["problem"].split(";")[0]} for problem in problems]


def test_hard_rows_get_the_same_answers_and_wrong_ones_the_same_words(
    case: Case,  # noqa: F811
    web: str,
    tmp_path: Path,
) -> None:
    bundle, made = case
    live, edge = Live.of(load_bundle(bundle), "example:v1"), Model(made.folder)
    good = hard_rows(live.reader.columns, [live.example()], {})
    # JavaScript reads 1e30 and 3.0 as whole numbers.
    wrong = wrong_rows(live.reader.columns, live.example(), live.bundle.journal.identity)
    done = asked(made.folder, web, [*good, *wrong], tmp_path, made.digest)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout)
    for row, answer in zip(good, answers, strict=False):
        [expected] = edge.predict([row])
        assert answer == {name: pytest.approx(value, rel=1e-12) for name, value in expected.items()}, row
    for row, answer in zip(wrong, answers[len(good) :], strict=True):
        problems = unguessed(edge.read([row])[1])
        assert (answer == problems) if problems else isinstance(answer, dict), row


def test_a_bundle_that_is_not_the_expected_one_is_not_opened(
    case: Case,  # noqa: F811
    web: str,
    tmp_path: Path,
) -> None:
    _, made = case
    refused = asked(made.folder, web, [], tmp_path, "0" * 64)
    assert refused.returncode == 1
    assert "manifest.json is not the one that is expected" in refused.stderr
    copy = Path(shutil.copytree(made.folder, tmp_path / "copy"))
    (copy / "model.onnx").write_bytes((copy / "model.onnx").read_bytes() + b"\n")
    changed = asked(copy, web, [], tmp_path)
    assert changed.returncode == 1
    assert "changed model.onnx" in changed.stderr
