import pytest
from click.testing import CliRunner, Result

from mlplatform.cli.main import main
from mlplatform.home import Home
from mlplatform.serving.api_keys import KeyTable, load_keys
from mlplatform.serving.launch import serve_environment


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments])


def test_a_key_is_printed_alone_once_and_works(home: Home) -> None:
    made = run("create", "fraud", "shop")
    key = made.stdout.strip()

    assert KeyTable(load_keys(home.api_keys("fraud"))).owner(key.encode()) == "shop"
    assert key.startswith("mlp_")
    assert "start them again" in made.stderr
    assert key not in run("list", "fraud").output


def test_keys_are_listed_with_their_end_and_revoked_by_name(home: Home) -> None:
    run("create", "fraud", "old", "--days", "30")
    run("create", "fraud", "new")
    before = run("list", "fraud").output
    revoked = run("revoke", "fraud", "old")
    after = run("list", "fraud").output

    assert "old " in before
    assert "until revoked" in before
    assert "1 left" in revoked.output
    assert "old " not in after
    assert "nobody is let in" in run("revoke", "fraud", "new").output


@pytest.mark.parametrize("arguments", [("create", "no_such", "x"), ("list", "no_such"), ("revoke", "no_such", "x")])
def test_a_use_case_that_is_not_there_is_named(home: Home, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)

    assert result.exit_code == 1
    assert "no_such" in result.output


def test_a_service_that_is_started_here_asks_for_the_keys_of_its_use_case_only(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLPLATFORM_API_KEYS", raising=False)
    run("create", "fraud", "shop")
    asked = {name: serve_environment(home, home.deployment(name)) for name in ("fraud", "demand")}

    assert asked["fraud"]["MLPLATFORM_API_KEYS"] == str(home.api_keys("fraud"))
    assert "MLPLATFORM_API_KEYS" not in asked["demand"]


def test_a_public_address_without_a_key_is_refused_with_what_to_do(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEYS", "JWKS", "AUTHENTICATED_UPSTREAM"):
        monkeypatch.delenv(f"MLPLATFORM_{name}", raising=False)
    pointer = home.deployment("fraud")
    pointer.parent.mkdir(parents=True)
    pointer.write_text(
        '{"use_case": "fraud", "bento": "fraud:v1", "version": "1", "path": "/x", "deployed_at": "2018-08-01"}'
    )
    result = CliRunner().invoke(main, ["serve", "fraud", "--host", "0.0.0.0", "--port", "1"])

    assert result.exit_code == 1
    assert "mlplatform keys create" in result.output
