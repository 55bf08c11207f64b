import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlplatform.errors import ArtifactError
from mlplatform.serving.bundle import write_manifest
from mlplatform.serving.follow import Follower
from mlplatform.serving.pointer import Pointer, read_pointer, write_pointer
from mlplatform.serving.scoring import Slot
from mlplatform_tests.serving.conftest import MakeBundle


def pointer_to(folder: Path, version: str) -> Pointer:
    return Pointer("fraud", f"fraud:v{version}", version, str(folder), "2018-08-01T00:00:00")


def version_in(slot: Slot) -> str | None:
    return slot.live.bundle.version if slot.live else None


def test_a_pointer_reads_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "deployments" / "fraud.json"
    pointer = pointer_to(tmp_path / "bundle", "7")
    write_pointer(file, pointer)

    assert read_pointer(file) == pointer
    assert [path.name for path in file.parent.iterdir()] == ["fraud.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"use_case": "fraud"}'])
def test_a_malformed_pointer_is_an_artifact_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "pointer.json").write_text(text)

    with pytest.raises(ArtifactError, match="not a pointer"):
        read_pointer(tmp_path / "pointer.json")


def test_a_new_pointer_swaps_the_model(tmp_path: Path, make_bundle: MakeBundle) -> None:
    file, slot = tmp_path / "pointer.json", Slot()
    follower = Follower(file, slot)
    versions = []
    for version in ("1", "2"):
        write_pointer(file, pointer_to(make_bundle(version), version))
        follower.check()
        versions.append(version_in(slot))

    assert versions == ["1", "2"]


def test_an_unchanged_pointer_loads_nothing(tmp_path: Path, make_bundle: MakeBundle) -> None:
    file, slot = tmp_path / "pointer.json", Slot()
    follower = Follower(file, slot)
    write_pointer(file, pointer_to(make_bundle("1"), "1"))
    follower.check()
    loaded = slot.live
    follower.check()
    write_pointer(file, read_pointer(file))
    follower.check()

    assert slot.live is loaded


def test_a_broken_bundle_keeps_the_old_model_until_a_good_one_comes(tmp_path: Path, make_bundle: MakeBundle) -> None:
    file, slot = tmp_path / "pointer.json", Slot()
    follower = Follower(file, slot)
    write_pointer(file, pointer_to(make_bundle("1"), "1"))
    follower.check()

    broken = make_bundle("2")
    (broken / "model.txt").write_text("tampered")
    write_pointer(file, pointer_to(broken, "2"))
    follower.check()
    assert version_in(slot) == "1"
    assert slot.problem
    assert "changed model.txt" in slot.problem

    write_pointer(file, pointer_to(make_bundle("3"), "3"))
    follower.check()
    assert version_in(slot) == "3"
    assert slot.problem is None


def test_a_sealed_bundle_whose_model_does_not_fit_its_features_is_refused_before_it_serves(
    tmp_path: Path, make_bundle: MakeBundle
) -> None:
    file, slot = tmp_path / "pointer.json", Slot()
    follower = Follower(file, slot)
    write_pointer(file, pointer_to(make_bundle("1"), "1"))
    follower.check()

    misfit = make_bundle("2")
    described = json.loads((misfit / "model.json").read_text())
    (misfit / "model.json").write_text(json.dumps({**described, "features": described["features"][:-1]}))
    write_manifest(misfit, "fraud", "2")
    write_pointer(file, pointer_to(misfit, "2"))
    follower.check()

    assert version_in(slot) == "1"
    assert slot.problem


def test_going_back_to_the_live_model_clears_the_problem(tmp_path: Path, make_bundle: MakeBundle) -> None:
    file, slot = tmp_path / "pointer.json", Slot()
    follower = Follower(file, slot)
    first = pointer_to(make_bundle("1"), "1")
    for pointer in (first, pointer_to(tmp_path / "nowhere", "2"), first):
        write_pointer(file, pointer)
        follower.check()

    assert (version_in(slot), slot.problem) == ("1", None)


def test_a_pointer_that_names_another_version_than_the_bundle_is_refused(
    tmp_path: Path, make_bundle: MakeBundle
) -> None:
    file, slot = tmp_path / "pointer.json", Slot()
    write_pointer(file, replace(pointer_to(make_bundle("1"), "1"), version="2"))
    Follower(file, slot).check()

    assert slot.live is None
    assert slot.problem
    assert "the pointer names fraud version 2" in slot.problem


def test_without_a_pointer_nothing_is_live_and_the_reason_is_known(tmp_path: Path) -> None:
    slot = Slot()
    Follower(tmp_path / "pointer.json", slot).check()

    assert slot.live is None
    assert slot.problem
