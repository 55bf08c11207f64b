import json
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlplatform.errors import SecurityError
from mlplatform.home import Home
from mlplatform.serving.api_keys import KeyTable, create_key, load_keys, revoke_key
from mlplatform.serving.authentication import KeyFile, credential
from mlplatform.serving.journal_key import journal_key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "fraud.json"


def create_in_home(home: Home) -> str:
    return create_key(home.api_keys("fraud"), "shop")


def owner(file: Path, key: str) -> str | None:
    return KeyTable(load_keys(file)).owner(key.encode())


def test_several_keys_are_valid_at_once_and_each_is_known_by_its_name(file: Path) -> None:
    first, second = create_key(file, "shop-2026"), create_key(file, "shop-2027")

    assert (owner(file, first), owner(file, second)) == ("shop-2026", "shop-2027")


def test_a_revoked_key_is_nobody_s_and_the_others_stay(file: Path) -> None:
    first, second = create_key(file, "old"), create_key(file, "new")
    revoke_key(file, "old")

    assert (owner(file, first), owner(file, second)) == (None, "new")


def test_keys_that_are_made_and_revoked_at_once_are_all_as_was_said(file: Path) -> None:
    for name in range(20):
        create_key(file, f"old{name}")

    def exchange(name: int) -> str:
        made = create_key(file, f"new{name}")
        revoke_key(file, f"old{name}")
        return made

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(exchange, range(20)))
    assert {key.name for key in load_keys(file)} == {f"new{name}" for name in range(20)}
    assert [KeyTable(load_keys(file)).owner(key.encode()) for key in made] == [f"new{name}" for name in range(20)]


def test_a_key_is_not_valid_after_its_days(file: Path) -> None:
    long, short = create_key(file, "long", days=1), create_key(file, "short", days=1e-6)
    time.sleep(1.1)  # moments are written in whole seconds

    assert (owner(file, long), owner(file, short)) == ("long", None)


def test_one_changed_character_is_another_key(file: Path) -> None:
    key = create_key(file, "shop")

    assert owner(file, key[:-1] + ("A" if key[-1] != "A" else "B")) is None
    assert owner(file, "") is None


def test_nobody_else_looks_into_the_folder_nor_locks_it(file: Path) -> None:
    create_key(file, "shop")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (file.parent, *file.parent.iterdir())}
    assert modes == {"secrets": 0o700, "fraud.json": 0o600, ".fraud.json.lock": 0o600}


@pytest.mark.parametrize("made", [create_in_home, journal_key])
def test_the_secrets_of_a_home_are_private_as_a_whole_also_where_they_were_not(
    made: Callable[[Home], object], tmp_path: Path
) -> None:
    new, old = Home(tmp_path / "new"), Home(tmp_path / "old")
    old.secrets.mkdir(parents=True)
    old.secrets.chmod(0o755)
    for home in (new, old):
        made(home)

    assert [stat.S_IMODE(home.secrets.stat().st_mode) for home in (new, old)] == [0o700, 0o700]
    assert stat.S_IMODE(new.root.stat().st_mode) == stat.S_IMODE(old.root.stat().st_mode), "the home itself is as usual"


def test_the_file_holds_no_key_and_only_its_owner_reads_it(file: Path) -> None:
    key = create_key(file, "shop")

    assert key not in file.read_text()
    assert key.removeprefix("mlp_") not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, 'a"b'])
def test_a_name_that_could_break_a_log_or_a_path_is_refused(file: Path, name: str) -> None:
    with pytest.raises(SecurityError, match="no name for a key"):
        create_key(file, name)


def test_a_name_that_is_taken_is_refused(file: Path) -> None:
    create_key(file, "shop")

    with pytest.raises(SecurityError, match="has a key shop already"):
        create_key(file, "shop")


def test_revoking_an_unknown_key_names_those_that_there_are(file: Path) -> None:
    create_key(file, "shop")

    with pytest.raises(SecurityError, match="no key till; it has shop"):
        revoke_key(file, "till")


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2, "keys": []}', '{"format": 1, "keys": [{"name": "a"}]}'])
def test_a_file_that_is_none_of_keys_is_an_error_that_names_it(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)

    with pytest.raises(SecurityError, match=r"fraud\.json"):
        load_keys(file)


def test_a_followed_file_lets_in_new_keys_and_nobody_once_it_is_gone(file: Path) -> None:
    first = create_key(file, "first")
    followed = KeyFile(str(file))
    followed.check()
    second = create_key(file, "second")
    before = followed.table.owner(second.encode())
    followed.check()
    after = followed.table.owner(second.encode())
    file.unlink()
    followed.check()

    assert (before, after) == (None, "second")
    assert followed.table.owner(first.encode()) is None


def test_a_followed_file_that_was_spoilt_leaves_the_known_keys_valid(file: Path) -> None:
    key = create_key(file, "shop")
    followed = KeyFile(str(file))
    followed.check()
    file.write_text("{")
    followed.check()

    assert followed.table.owner(key.encode()) == "shop"


def test_keys_may_stand_in_the_environment_itself(file: Path) -> None:
    key = create_key(file, "shop")
    followed = KeyFile(json.dumps(json.loads(file.read_text())))
    followed.check()

    assert followed.table.owner(key.encode()) == "shop"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({b"authorization": b"Bearer mlp_1"}, b"mlp_1"),
        ({b"authorization": b"bearer  mlp_1 "}, b"mlp_1"),
        ({b"x-api-key": b"mlp_1"}, b"mlp_1"),
        ({b"authorization": b"Basic YW55Om1scF8x"}, b"mlp_1"),
        ({b"authorization": b"Basic %%%"}, b""),
        ({b"authorization": b"Digest mlp_1"}, b""),
        ({b"authorization": b"Basic cHJveHk6c2VjcmV0", b"x-api-key": b"mlp_1"}, b"mlp_1"),
        ({b"authorization": b"Bearer of-the-proxy", b"x-api-key": b"mlp_1"}, b"mlp_1"),
        ({b"authorization": b"Basic cHJveHk6c2VjcmV0", b"x-api-key": b"a.b.c"}, b"a.b.c"),
        ({b"authorization": b"Bearer mlp_1", b"x-api-key": b"of the gateway"}, b"mlp_1"),
        ({}, b""),
    ],
)
def test_a_credential_is_found_where_clients_and_browsers_put_it(headers: dict[bytes, bytes], expected: bytes) -> None:
    assert credential(headers) == expected
