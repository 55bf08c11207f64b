"""The folder that is exported: whole or not at all, the same bytes again, and nothing else is overwritten."""

import json
import os
from pathlib import Path

import pytest

from mlplatform.errors import ArtifactError
from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.edge import pack
from mlplatform.serving.edge.pack import EdgeBundle, pack_edge
from mlplatform_tests.serving.conftest import RULES, write_bundle


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_holds_what_a_device_needs_and_no_more(exported: EdgeBundle) -> None:
    expected = {"model.onnx", "contract.json", "FEATURES.md", "parity.json", "runner.py", "runner.mjs", "manifest.json"}
    assert set(contents(exported.folder)) == set(exported.files) == expected
    assert sum(exported.files.values()) < 60_000


def test_the_manifest_says_what_it_was_made_of(exported: EdgeBundle, sealed: Path) -> None:
    manifest = json.loads((exported.folder / "manifest.json").read_text())
    assert manifest["of"]["digest"] == load_bundle(sealed).manifest.digest
    assert manifest["of"]["bento"] == "fraud:v1"
    assert manifest["of"]["facts"] == {"run_id": "run-1"}


def test_what_was_compared_is_told(exported: EdgeBundle) -> None:
    told = json.loads((exported.folder / "parity.json").read_text())
    assert told["rows"] == exported.parity.rows > 1000
    assert told["refusals"] > 50
    assert told["largest_difference"] < 1e-14 < told["tolerance"]
    assert exported.latency.p50 <= exported.latency.p99


def test_the_same_bundle_gives_the_same_bytes(exported: EdgeBundle, sealed: Path, tmp_path: Path) -> None:
    again = pack_edge(sealed, "fraud:v1", tmp_path / "again")
    assert contents(again.folder) == contents(exported.folder)
    assert again.digest == exported.digest


def test_an_older_export_of_the_use_case_is_replaced_and_nothing_is_left_beside(tmp_path: Path) -> None:
    out = tmp_path / "out" / "fraud"
    out.mkdir(parents=True)
    first = pack_edge(write_bundle(tmp_path / "one", "1"), "fraud:v1", out)
    second = pack_edge(write_bundle(tmp_path / "two", "2"), "fraud:v2", out)
    assert first.digest != second.digest
    assert json.loads((out / "manifest.json").read_text())["version"] == "2"
    assert [path.name for path in out.parent.iterdir()] == ["fraud"]


def test_the_folder_may_be_read_by_whom_the_user_allows(exported: EdgeBundle) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert exported.folder.stat().st_mode & 0o777 == 0o777 & ~mask


@pytest.mark.parametrize("kept", ["thesis.txt", "manifest.json"])
def test_a_folder_with_something_else_stays_as_it_is(kept: str, sealed: Path, tmp_path: Path) -> None:
    (tmp_path / kept).write_text("{}")
    with pytest.raises(ArtifactError, match="holds something else than an export of fraud; name another folder"):
        pack_edge(sealed, "fraud:v1", tmp_path)
    assert contents(tmp_path) == {kept: b"{}"}


def test_an_export_of_another_use_case_stays_as_it_is(exported: EdgeBundle, tmp_path: Path) -> None:
    before = contents(exported.folder)
    other = write_bundle(tmp_path / "other", "1", use_case="demand")
    with pytest.raises(ArtifactError, match="something else than an export of demand"):
        pack_edge(other, "demand:v1", exported.folder)
    assert contents(exported.folder) == before


def test_a_file_in_the_place_of_the_folder_is_not_replaced(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ArtifactError, match="is not a folder; name another one"):
        pack_edge(sealed, "fraud:v1", tmp_path / "out")


def test_a_place_that_cannot_be_written_is_told(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match=r"cannot write .*/file/out: .*; name another folder"):
        pack_edge(sealed, "fraud:v1", tmp_path / "file" / "out")


def test_an_export_that_cannot_take_its_place_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    pack_edge(write_bundle(tmp_path / "one", "1"), "fraud:v1", out)
    before, rename = contents(out), Path.rename

    def refused(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("the disk is away")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(ArtifactError, match="the disk is away"):
        pack_edge(write_bundle(tmp_path / "two", "2"), "fraud:v2", out)
    assert contents(out) == before


def test_a_model_that_answers_otherwise_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    pack_edge(write_bundle(tmp_path / "one", "1"), "fraud:v1", out)
    before = contents(out)
    # The graph of another model, whose shape is the same.
    two = write_bundle(tmp_path / "two", "2")
    other = load_bundle(write_bundle(tmp_path / "three", "3")).model
    write = pack.model_to_onnx
    monkeypatch.setattr(pack, "model_to_onnx", lambda model, columns: write(other, columns))
    with pytest.raises(ArtifactError, match=r"the exported model says .* where fraud:v2 says .*: not exported"):
        pack_edge(two, "fraud:v2", out)
    assert contents(out) == before
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "three", "out"}


def test_a_contract_that_reads_otherwise_is_not_exported(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pack._contract

    def wider(*args: object) -> dict[str, object]:
        contract = write(*args)  # type: ignore[arg-type]
        contract["columns"][0]["high"] = 20_000.0
        return contract

    monkeypatch.setattr(pack, "_contract", wider)
    with pytest.raises(ArtifactError, match=r"the exported contract says \[\] where the service says .*maximum"):
        pack_edge(sealed, "fraud:v1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_was_changed_is_not_exported(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", "1")
    (bundle / "contract.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"changed contract\.json"):
        pack_edge(bundle, "fraud:v1", tmp_path / "out")


def test_the_notes_tell_every_feature_and_what_is_allowed(exported: EdgeBundle) -> None:
    notes = (exported.folder / "FEATURES.md").read_text()
    for rule in RULES[:-1]:
        assert f"## `{rule.name}`" in notes
    assert "Euros <gross>" in notes
    assert "Allowed: a number, at least 0, at most 10000." in notes
