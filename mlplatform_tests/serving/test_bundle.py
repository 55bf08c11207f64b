import json
import pickle
from pathlib import Path

import pytest

from mlplatform.errors import ArtifactError
from mlplatform.serving.bundle import MANIFEST, load_bundle, read_manifest, write_manifest
from mlplatform_tests.serving.conftest import FEATURES, MakeBundle


def test_a_sealed_bundle_loads_with_model_rules_and_facts(sealed: Path) -> None:
    bundle = load_bundle(sealed)

    assert (bundle.use_case, bundle.version) == ("fraud", "1")
    assert bundle.model.features == FEATURES
    assert [rule.name for rule in bundle.rules] == [*FEATURES, "event_time"]
    assert bundle.manifest.facts == {"run_id": "run-1"}


@pytest.mark.parametrize("name", ["model.txt", "model.json", "contract.json", "reference.parquet", "importance.json"])
def test_one_changed_byte_in_any_file_is_refused_by_name(make_bundle: MakeBundle, name: str) -> None:
    folder = make_bundle("1")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(ArtifactError, match=f"changed {name}"):
        load_bundle(folder)


def test_a_missing_file_is_refused_by_name(make_bundle: MakeBundle) -> None:
    folder = make_bundle("1")
    (folder / "model.txt").unlink()

    with pytest.raises(ArtifactError, match=r"missing model\.txt"):
        load_bundle(folder)


def test_an_added_file_is_refused_by_name(make_bundle: MakeBundle) -> None:
    folder = make_bundle("1")
    (folder / "notes.txt").write_text("hello")

    with pytest.raises(ArtifactError, match=r"not in the manifest: notes\.txt"):
        load_bundle(folder)


def test_a_pickle_is_refused_when_it_is_sealed_and_when_it_is_loaded(make_bundle: MakeBundle) -> None:
    folder = make_bundle("1")
    (folder / "model.pkl").write_bytes(pickle.dumps({}))

    with pytest.raises(ArtifactError, match="may hold"):
        write_manifest(folder, "fraud", "1")
    with pytest.raises(ArtifactError, match="may hold"):
        load_bundle(folder)


def test_a_link_out_of_the_folder_is_refused(make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder = make_bundle("1")
    (tmp_path / "outside.txt").write_text("secret")
    (folder / "inside.txt").symlink_to(tmp_path / "outside.txt")

    with pytest.raises(ArtifactError, match="not links"):
        load_bundle(folder)


def test_nothing_is_parsed_before_the_hashes_hold(make_bundle: MakeBundle) -> None:
    folder = make_bundle("1")
    (folder / "model.json").write_text("this is not JSON")

    with pytest.raises(ArtifactError, match=r"changed model\.json"):
        load_bundle(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', "null", '{"format": 1, "files": 3}'])
def test_a_malformed_manifest_is_an_artifact_error(make_bundle: MakeBundle, text: str) -> None:
    folder = make_bundle("1")
    (folder / MANIFEST).write_text(text)

    with pytest.raises(ArtifactError):
        load_bundle(folder)


def test_a_folder_without_a_manifest_is_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not a sealed bundle"):
        load_bundle(tmp_path)


def test_a_contract_that_is_not_a_list_of_rules_is_an_artifact_error(make_bundle: MakeBundle) -> None:
    folder = make_bundle("1")
    (folder / "contract.json").write_text(json.dumps([{"name": "amount"}]))
    write_manifest(folder, "fraud", "1")

    with pytest.raises(ArtifactError, match=r"contract\.json"):
        load_bundle(folder)


def test_equal_content_has_an_equal_digest_and_other_content_another(make_bundle: MakeBundle) -> None:
    first, second = make_bundle("1"), make_bundle("2")

    assert read_manifest(first).digest == read_manifest(first).digest
    assert read_manifest(first).digest != read_manifest(second).digest
