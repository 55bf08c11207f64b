"""Signatures of bundles: by whom a manifest was written, beside that its files are whole.

The layout is that of OpenSSF Model Signing (a Sigstore bundle around a DSSE envelope around an in-toto statement), so
`model_signing verify key` accepts it; the work is done by `cryptography` alone (decision 6). The key is an own one on
an elliptic curve, P-256, P-384 or P-521; no network, no transparency log.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlplatform.errors import ArtifactError, SecurityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["SIGNATURE", "SIGNING_KEY_VARIABLE", "VERIFY_KEY_VARIABLE", "sign_if_asked", "verify_if_asked"]

SIGNATURE = "model.sig"
SIGNING_KEY_VARIABLE = "MLPLATFORM_SIGNING_KEY"
"""Private key (PEM file) that packaging signs bundles with; without it they are not signed."""
VERIFY_KEY_VARIABLE = "MLPLATFORM_VERIFY_KEY"
"""Public key (PEM file) whose signature a bundle must have to be loaded; without it none is asked for."""

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_HASHES = {256: "SHA256", 384: "SHA384", 521: "SHA512"}


def sign_if_asked(folder: Path, files: Mapping[str, str]) -> None:
    """Write the signature of a bundle's files beside them, if a private key is configured.

    `files`: relative path -> SHA-256 in hex, the manifest's own included. The same files and key give the same bytes.
    Raises SecurityError if the key cannot be used.
    """
    if path := os.environ.get(SIGNING_KEY_VARIABLE):
        key = _private_key(Path(path))
        (folder / SIGNATURE).write_text(json.dumps(_signed(folder.name, files, key), indent=1) + "\n", encoding="utf-8")


def verify_if_asked(folder: Path, files: Mapping[str, str]) -> None:
    """Check the signature against `files`, as `sign_if_asked` takes them, if a public key is configured.

    Raises ArtifactError if the signature is missing, by another key, or of other files; SecurityError for the key.
    """
    if not (path := os.environ.get(VERIFY_KEY_VARIABLE)):
        return
    key, place = _public_key(Path(path)), folder / SIGNATURE
    try:
        envelope = json.loads(place.read_bytes())["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        kind = str(envelope["payloadType"])
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: not signed, and {VERIFY_KEY_VARIABLE} asks for a signature") from None
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ArtifactError(f"{place}: not a signature ({error}); build the bundle again") from error
    if kind != _PAYLOAD or not _holds(key, signature, payload):
        raise ArtifactError(f"{folder}: not signed by the key of {path}, or changed since; build and sign it again")
    if _signed_files(payload) != dict(files):
        raise ArtifactError(f"{folder}: the signature is of other files; build and sign the bundle again")


def _signed(name: str, files: Mapping[str, str], key: "ec.EllipticCurvePrivateKey") -> dict[str, Any]:
    payload = json.dumps(_statement(name, files), sort_keys=True).encode()
    signature = key.sign(_preauthenticated(payload), _ecdsa(key.public_key()))
    return {
        "mediaType": _BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": _fingerprint(key.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }


def _statement(name: str, files: Mapping[str, str]) -> dict[str, Any]:
    resources = [{"name": path, "algorithm": "sha256", "digest": files[path]} for path in sorted(files)]
    whole = hashlib.sha256(b"".join(bytes.fromhex(resource["digest"]) for resource in resources)).hexdigest()
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [SIGNATURE],
    }
    return {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": whole}}],
        "predicateType": _PREDICATE,
        "predicate": {"serialization": serialization, "resources": resources},
    }


def _signed_files(payload: bytes) -> dict[str, str] | None:
    """What a statement lists; None if it is another kind of statement."""
    try:
        statement = json.loads(payload)
        if (statement["_type"], statement["predicateType"]) != (_STATEMENT, _PREDICATE):
            return None
        resources = statement["predicate"]["resources"]
        return {each["name"]: each["digest"] for each in resources if each["algorithm"] == "sha256"}
    except (ValueError, KeyError, TypeError):
        return None


def _preauthenticated(payload: bytes) -> bytes:
    """What DSSE signs: type and payload, each with its length."""
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD), _PAYLOAD.encode(), len(payload), payload)


def _holds(key: "ec.EllipticCurvePublicKey", signature: bytes, payload: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, _preauthenticated(payload), _ecdsa(key))
    except InvalidSignature:
        return False
    return True


def _ecdsa(key: "ec.EllipticCurvePublicKey") -> "ec.ECDSA":
    """Deterministic (RFC 6979): packaging the same again must give the same bento."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(getattr(hashes, _HASHES[key.key_size])(), deterministic_signing=True)


def _fingerprint(key: "ec.EllipticCurvePublicKey") -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _private_key(path: Path) -> "ec.EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _no_key(SIGNING_KEY_VARIABLE, path, "private", str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.key_size not in _HASHES:
        raise _no_key(SIGNING_KEY_VARIABLE, path, "private", "it is of another kind")
    return key


def _public_key(path: Path) -> "ec.EllipticCurvePublicKey":
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _no_key(VERIFY_KEY_VARIABLE, path, "public", str(error)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size not in _HASHES:
        raise _no_key(VERIFY_KEY_VARIABLE, path, "public", "it is of another kind")
    return key


def _no_key(variable: str, path: Path, kind: str, why: str) -> SecurityError:
    return SecurityError(f"{variable}={path}: no {kind} key on P-256, P-384 or P-521, unencrypted, in PEM ({why})")
