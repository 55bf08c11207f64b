import base64
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mlplatform.errors import ArtifactError, SecurityError
from mlplatform.serving.bundle import MANIFEST, load_bundle, write_manifest
from mlplatform.serving.follow import Follower, load_live
from mlplatform.serving.pointer import Pointer, write_pointer
from mlplatform.serving.scoring import Slot
from mlplatform.serving.signing import SIGNATURE, SIGNING_KEY_VARIABLE, VERIFY_KEY_VARIABLE
from mlplatform_tests.serving.conftest import MakeBundle


def write_keys(folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    """A private and a public key, as `openssl ecparam -genkey` and `openssl ec -pubout` write them."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def signing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Packaging signs, and loading asks for it."""
    private, public = write_keys(tmp_path, "own")
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, str(private))
    monkeypatch.setenv(VERIFY_KEY_VARIABLE, str(public))
    return private, public


def test_a_bundle_signed_by_the_own_key_loads(signing: tuple[Path, Path], make_bundle: MakeBundle) -> None:
    assert load_bundle(make_bundle("1")).version == "1"


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_the_larger_curves_work_as_well(
    curve: ec.EllipticCurve, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_keys(tmp_path, "large", curve)
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, str(private))
    monkeypatch.setenv(VERIFY_KEY_VARIABLE, str(public))

    assert load_bundle(make_bundle("1")).version == "1"


def test_without_a_public_key_signed_and_unsigned_bundles_load(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsigned = make_bundle("1")
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, str(write_keys(tmp_path, "own")[0]))
    signed = make_bundle("2")

    assert not (unsigned / SIGNATURE).exists()
    assert (signed / SIGNATURE).exists()
    assert (load_bundle(unsigned).version, load_bundle(signed).version) == ("1", "2")


def test_an_unsigned_bundle_is_refused_where_a_key_is_asked_for(
    signing: tuple[Path, Path], make_bundle: MakeBundle
) -> None:
    folder = make_bundle("1")
    (folder / SIGNATURE).unlink()

    with pytest.raises(ArtifactError, match="not signed"):
        load_bundle(folder)


def test_a_bundle_of_another_key_is_refused(
    signing: tuple[Path, Path], make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, str(write_keys(tmp_path, "another")[0]))

    with pytest.raises(ArtifactError, match="not signed by the key"):
        load_bundle(make_bundle("1"))


def test_a_manifest_written_anew_for_other_files_does_not_pass(
    signing: tuple[Path, Path], make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashes alone keep out accidents; whoever can change a file can write its hash."""
    folder = make_bundle("1")
    monkeypatch.delenv(SIGNING_KEY_VARIABLE)
    (folder / "importance.json").write_text('{"forged": 1}')
    write_manifest(folder, "fraud", "1", {})

    with pytest.raises(ArtifactError, match="of other files"):
        load_bundle(folder)


def test_a_signed_bundle_under_the_name_of_another_use_case_does_not_pass(
    signing: tuple[Path, Path], make_bundle: MakeBundle
) -> None:
    folder = make_bundle("1")
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "use_case": "diagnosis"}))

    with pytest.raises(ArtifactError, match="of other files"):
        load_bundle(folder)


def test_the_signature_of_another_bundle_does_not_pass(signing: tuple[Path, Path], make_bundle: MakeBundle) -> None:
    first, second = make_bundle("1"), make_bundle("2")
    (first / SIGNATURE).write_bytes((second / SIGNATURE).read_bytes())

    with pytest.raises(ArtifactError, match="of other files"):
        load_bundle(first)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"dsseEnvelope": {"payload": "!", "signatures": []}}'])
def test_what_is_no_signature_is_an_artifact_error(
    signing: tuple[Path, Path], make_bundle: MakeBundle, text: str
) -> None:
    folder = make_bundle("1")
    (folder / SIGNATURE).write_text(text)

    with pytest.raises(ArtifactError, match="not a signature"):
        load_bundle(folder)


def test_the_same_content_has_the_same_signature(signing: tuple[Path, Path], make_bundle: MakeBundle) -> None:
    """So that packaging again gives the same bento."""
    folder = make_bundle("1")
    before = (folder / SIGNATURE).read_bytes()
    write_manifest(folder, "fraud", "1", {"run_id": "run-1"})

    assert (folder / SIGNATURE).read_bytes() == before


def test_a_key_of_another_kind_is_an_error_that_names_the_variable(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rsa.pem"
    key = rsa.generate_private_key(65537, 2048)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, str(file))

    with pytest.raises(SecurityError, match=SIGNING_KEY_VARIABLE):
        make_bundle("1")


def test_an_unsigned_deployment_leaves_the_old_one_serving(
    signing: tuple[Path, Path], make_bundle: MakeBundle, tmp_path: Path
) -> None:
    slot, pointer = Slot(load_live(make_bundle("1"), "fraud:v1")), tmp_path / "fraud.json"
    unsigned = make_bundle("2")
    (unsigned / SIGNATURE).unlink()
    write_pointer(pointer, Pointer("fraud", "fraud:v2", "2", str(unsigned), "2018-08-01T00:00:00"))
    Follower(pointer, slot).check()

    assert slot.live is not None
    assert slot.live.bundle.version == "1"
    assert "not signed" in str(slot.problem)


def test_a_key_made_by_openssl_signs_and_openssl_verifies_what_it_signed(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What docs/security.md tells, and a check by somebody else's code."""
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private)], check=True)
    subprocess.run(["openssl", "ec", "-in", str(private), "-pubout", "-out", str(public)], check=True)
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, str(private))
    monkeypatch.setenv(VERIFY_KEY_VARIABLE, str(public))
    folder = make_bundle("1")
    envelope = json.loads((folder / SIGNATURE).read_text())["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    signed, signature = tmp_path / "signed", tmp_path / "signature"
    kind = envelope["payloadType"].encode()
    signed.write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(signature), str(signed)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert load_bundle(folder).version == "1"
    assert done.stdout.strip() == "Verified OK"
