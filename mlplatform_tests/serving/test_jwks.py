"""Tokens as an identity provider issues them; its keys come from a file, or from a real HTTP server."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mlplatform.errors import SecurityError
from mlplatform.serving.jwks import Tokens, TokenSettings

ISSUER, AUDIENCE = "https://login.example", "fraud"
ES = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()


def public(key: Any, kid: str, alg: str) -> dict[str, Any]:
    kind = {"E": jwt.algorithms.ECAlgorithm, "R": jwt.algorithms.RSAAlgorithm}
    family = jwt.algorithms.OKPAlgorithm if alg == "EdDSA" else kind[alg[0]]
    return {**json.loads(family.to_jwk(key.public_key())), "kid": kid, "alg": alg, "use": "sig"}


def token(key: Any = ES, alg: str = "ES256", kid: str | None = "es", **claims: Any) -> bytes:
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "shop", "exp": time.time() + 60}
    stated = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(stated, key, alg, headers={"kid": kid} if kid else None).encode()


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    file = tmp_path / "jwks.json"
    keys = [public(ES, "es", "ES256"), public(RSA, "rs", "RS256"), public(ED, "ed", "EdDSA")]
    file.write_text(json.dumps({"keys": keys}))
    return file


@pytest.fixture
def tokens(jwks: Path) -> Tokens:
    made = Tokens(TokenSettings(str(jwks), ISSUER, AUDIENCE))
    made.check()
    return made


@pytest.mark.parametrize(("key", "alg", "kid"), [(ES, "ES256", "es"), (RSA, "RS256", "rs"), (ED, "EdDSA", "ed")])
async def test_a_good_token_is_its_subject_s(tokens: Tokens, key: Any, alg: str, kid: str) -> None:
    assert await tokens.owner(token(key, alg, kid)) == "shop"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": time.time() - 3600},
        {"exp": None},
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"sub": None},
        {"nbf": time.time() + 3600},
    ],
)
async def test_a_token_that_is_late_early_or_for_others_is_nobody_s(tokens: Tokens, claims: dict[str, Any]) -> None:
    assert await tokens.owner(token(**claims)) is None


async def test_a_token_signed_by_another_key_under_a_known_name_is_nobody_s(tokens: Tokens) -> None:
    assert await tokens.owner(token(OTHER)) is None


async def test_no_signature_and_shared_secrets_are_refused_whatever_the_token_says(tokens: Tokens, jwks: Path) -> None:
    unsigned = token(None, "none")
    # The classic: the public key, which all know, taken as the secret of an HMAC.
    _, payload, _ = token().split(b".")
    start = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"es"}').rstrip(b"=") + b"." + payload
    for secret in (jwks.read_bytes(), ES.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)):
        confused = start + b"." + base64.urlsafe_b64encode(hmac.digest(secret, start, "sha256")).rstrip(b"=")
        assert await tokens.owner(confused) is None

    assert await tokens.owner(unsigned) is None


async def test_an_algorithm_that_is_not_on_the_list_is_refused(jwks: Path) -> None:
    only = Tokens(TokenSettings(str(jwks), ISSUER, AUDIENCE, ("ES256",)))
    only.check()

    assert await only.owner(token()) == "shop"
    assert await only.owner(token(RSA, "RS256", "rs")) is None


@pytest.mark.parametrize("text", [b"", b"a", b"a.b.c", b"\xff\xfe", b"x" * 20_000, b"e30.e30.e30"])
async def test_what_is_no_token_is_nobody_s(tokens: Tokens, text: bytes) -> None:
    assert await tokens.owner(text) is None


async def test_a_remembered_token_ends_with_its_keys(tokens: Tokens, jwks: Path) -> None:
    sent = token()
    before = await tokens.owner(sent)
    jwks.write_text(json.dumps({"keys": [public(OTHER, "es", "ES256")]}))
    tokens.check()

    assert (before, await tokens.owner(sent)) == ("shop", None)


async def test_a_remembered_token_ends_at_its_time(tokens: Tokens) -> None:
    sent = token(exp=time.time() - 29)  # within the leeway of 30 s
    before = await tokens.owner(sent)
    time.sleep(1.5)

    assert (before, await tokens.owner(sent)) == ("shop", None)


async def test_keys_that_cannot_be_read_leave_the_known_ones(tokens: Tokens, jwks: Path) -> None:
    jwks.write_text("<html>")
    tokens.check()

    assert await tokens.owner(token()) == "shop"


def test_a_short_rsa_key_is_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [public(rsa.generate_private_key(65537, 1024), "s", "RS256")]}))
    Tokens(TokenSettings(str(file), ISSUER, AUDIENCE)).check()

    assert "none of its keys verifies signatures" in caplog.text


class Provider(ThreadingHTTPServer):
    """Publishes keys, and counts how often it is asked."""

    keys: list[dict[str, Any]]
    asked = 0


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Provider)
        self.server.asked += 1
        body = json.dumps({"keys": self.server.keys}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        return


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(("127.0.0.1", 0), Answers) as server:
        server.keys = [public(ES, "es", "ES256")]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_keys_from_an_address_are_fetched_once_for_many_requests(provider: Provider) -> None:
    fetched = Tokens(TokenSettings(f"http://127.0.0.1:{provider.server_port}/jwks", ISSUER, AUDIENCE))
    fetched.check()

    assert [await fetched.owner(token(jti=str(number))) for number in range(50)] == ["shop"] * 50
    # Made-up names of keys must not make the service ask again and again, either.
    assert [await fetched.owner(token(kid=f"made-up-{number}")) for number in range(50)] == [None] * 50
    assert provider.asked == 1


async def test_a_new_key_of_the_issuer_is_found_by_a_token_that_names_it(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = Tokens(TokenSettings(f"http://127.0.0.1:{provider.server_port}/jwks", ISSUER, AUDIENCE))
    fetched.check()
    provider.keys.append(public(OTHER, "new", "ES256"))
    monkeypatch.setattr("mlplatform.serving.jwks._COOL_DOWN_SECONDS", 0.0)

    assert await fetched.owner(token(OTHER, kid="new")) == "shop"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"jwks": "http://login.example/jwks"}, "use https"),
        ({"issuer": ""}, "issuer"),
        ({"audience": ""}, "audience"),
        ({"algorithms": ("HS256",)}, "HS256"),
        ({"algorithms": ("ES256", "none")}, "none"),
        ({"algorithms": ()}, "take some of"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(changed: dict[str, Any], problem: str) -> None:
    usual: dict[str, Any] = {"jwks": "https://login.example/jwks", "issuer": ISSUER, "audience": AUDIENCE}
    with pytest.raises(SecurityError, match=problem):
        TokenSettings(**{**usual, **changed})
