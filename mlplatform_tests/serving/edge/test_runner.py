"""The runner by itself: in a Python that has numpy and onnxruntime only, and word for word like the service."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.serving.edge import runner
from mlplatform.serving.edge.pack import EdgeBundle
from mlplatform.serving.edge.runner import BundleError, Model, RefusedError
from mlplatform.serving.identity import as_moment
from mlplatform.serving.scoring import Live
from mlplatform_tests.serving.conftest import GOOD, RULES
from mlplatform_tests.serving.edge.bare import run_runner


@pytest.fixture(scope="module")
def model(exported: EdgeBundle) -> Model:
    return Model(exported.folder)


@pytest.fixture
def copy(exported: EdgeBundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported.folder, tmp_path / "copy"))


def test_the_bare_python_has_nothing_of_the_platform(bare_python: Path) -> None:
    asked = (
        "import importlib.util as u; print([u.find_spec(n) for n in ('mlplatform', 'lightgbm', 'pandas', 'orjson')])"
    )
    said = subprocess.run([bare_python, "-I", "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout == "[None, None, None, None]\n"


def test_lines_in_answers_out(exported: EdgeBundle, bare_python: Path, live: Live) -> None:
    rows = [GOOD, {**GOOD, "amount": 1.5, "risk": 0.9}, {**GOOD, "channel": "chip"}]
    done = run_runner(bare_python, exported.folder, "\n".join(map(json.dumps, rows)) + "\n\n")
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    expected = live.predict(rows, explain=False)
    assert [answer["decision"] for answer in answers] == [answer["decision"] for answer in expected]
    assert [answer["score"] for answer in answers] == pytest.approx([a["score"] for a in expected], rel=1e-14)


def test_a_refused_row_is_answered_in_its_place_and_the_others_are_scored(
    exported: EdgeBundle, bare_python: Path
) -> None:
    lines = [json.dumps(GOOD), json.dumps({**GOOD, "amount": -1}), "no JSON", '{"amount": NaN}', json.dumps(GOOD)]
    done = run_runner(bare_python, exported.folder, "\n".join(lines))
    assert done.returncode == 1
    first, refused, broken, constant, last = map(json.loads, done.stdout.splitlines())
    assert first == last
    assert refused["error"] == "1 problem in the row"
    allowed = "a number, at least 0, at most 10000"
    assert refused["problems"] == [{"row": 0, "field": "amount", "problem": "is below the minimum", "allowed": allowed}]
    assert broken == constant == {"error": "the line is not valid JSON"}


@pytest.mark.parametrize("name", ["model.onnx", "contract.json", "runner.py", "FEATURES.md"])
def test_a_changed_file_is_named_before_anything_is_scored(name: str, copy: Path, bare_python: Path) -> None:
    (copy / name).write_bytes((copy / name).read_bytes() + b"\n")
    done = run_runner(bare_python, copy, json.dumps(GOOD))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"changed {name}; copy the exported folder again" in done.stderr


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"missing model\.onnx"):
        Model(copy)


def test_a_manifest_that_lists_no_model_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["files"]["model.onnx"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"missing model\.onnx"):
        Model(copy)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2, "files": {}}'])
def test_what_is_no_manifest_is_refused(text: str, copy: Path) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match="export"):
        Model(copy)


def seal_anew(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x08"])
def test_a_graph_that_cannot_be_opened_is_told_and_no_traceback(content: bytes, copy: Path, bare_python: Path) -> None:
    seal_anew(copy, "model.onnx", content)
    done = run_runner(bare_python, copy, json.dumps(GOOD))
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot open model.onnx" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bundle_that_was_sealed_anew_is_not_the_expected_one(exported: EdgeBundle, copy: Path) -> None:
    Model(copy, expect=exported.digest.upper())
    seal_anew(copy, "contract.json", (copy / "contract.json").read_bytes().replace(b"10000.0", b"90000.0"))
    Model(copy)
    with pytest.raises(BundleError, match="is not the one that is expected"):
        Model(copy, expect=exported.digest)


def test_the_expected_manifest_can_be_named_on_the_command_line(exported: EdgeBundle, bare_python: Path) -> None:
    assert run_runner(bare_python, exported.folder, json.dumps(GOOD), ["--expect", exported.digest]).returncode == 0
    assert run_runner(bare_python, exported.folder, json.dumps(GOOD), ["--expect", "0" * 64]).returncode == 2


def test_an_old_onnxruntime_is_told(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.onnxruntime, "__version__", "1.20.1")
    with pytest.raises(BundleError, match=r"onnxruntime 1\.20\.1 is too old; install 1\.21 or newer"):
        Model(copy)


def test_a_number_that_is_not_finite_is_no_answer(exported: EdgeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Model(exported.folder)

    class Session:
        def run(self, outputs: Any, inputs: Any) -> list[Any]:
            return [np.array([np.nan]), np.array([False])]

    monkeypatch.setattr(broken, "_session", Session())
    with pytest.raises(ArithmeticError, match="not finite, so there is no decision"):
        broken.predict([GOOD])
    line = json.dumps(GOOD).encode()
    assert runner.answer_line(broken, line) == (
        {"error": "the model gave a number that is not finite, so there is no decision"},
        True,
    )


def test_no_rows_get_no_answers(model: Model) -> None:
    assert model.predict([]) == []


def test_the_refusal_of_several_rows_says_what_the_service_says(model: Model) -> None:
    with pytest.raises(RefusedError, match=r"row 1, amount is text \(a number, at least 0, at most 10000\)"):
        model.predict([GOOD, {**GOOD, "amount": "12"}])


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 12),
    st.floats(allow_nan=False),
    st.floats(0, 1),
    st.text(max_size=5),
    st.sampled_from(["chip", "online", "Chip", ""]),
    st.lists(st.integers(), max_size=2),
)
names = st.sampled_from([rule.name for rule in RULES] + ["chanel", "amunt", "x"])
changes = st.dictionaries(names, anything, max_size=4)
rows = st.one_of(changes.map(lambda changed: {**GOOD, **changed}), changes, anything)


@settings(max_examples=400, deadline=None)
@given(st.lists(rows, min_size=1, max_size=3))
def test_whatever_comes_is_refused_in_the_words_of_the_service_or_scored_like_it(
    model: Model, live: Live, asked: list[Any]
) -> None:
    matrix, expected = live.reader.read(asked)
    _, problems = model.read(asked)
    assert [tuple(problem.values()) for problem in problems] == [
        (problem.row, problem.field, problem.problem, problem.allowed) for problem in expected
    ]
    if not expected:
        scores = [answer["score"] for answer in live.score(asked, matrix, explain=False)]
        assert [answer["score"] for answer in model.predict(asked)] == pytest.approx(scores, rel=1e-14)


times = st.one_of(
    st.datetimes().map(str),
    st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()),
    st.sampled_from(
        ["1900-01-01", "1899-12-31T23:59:59.999999", "2199-12-31T23:59:59", "2200-01-01T00:30:00+01:00", "2024-02-30"]
    ),
    st.text(max_size=12),
    st.none(),
    st.integers(),
)


@settings(max_examples=400, deadline=None)
@given(times)
def test_a_time_is_one_where_it_is_one_for_the_service(value: Any) -> None:
    assert runner.is_time(value) == (as_moment(value) is not None)


def test_years_that_say_no_date_are_no_times() -> None:
    assert runner.is_time("2018-08-01T12:00:00")
    for nothing in ("0001-01-01", "1899-12-31", "2200-01-01", "9999-12-31"):
        assert not runner.is_time(nothing)
