"""How sources are declared: what the page shows is right, and what contradicts itself is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from mlplatform.spec import Source

SOURCE: TypeAdapter[Any] = TypeAdapter(Source)
PAGE = Path(__file__).parents[2] / "docs" / "sources.md"


def shown() -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [source for block in blocks for source in yaml.safe_load(re.sub(r"^  sources:\n", "", block))]


@pytest.mark.parametrize("source", shown(), ids=lambda source: source["kind"] if isinstance(source, dict) else "")
def test_every_source_of_the_page_is_one_that_goes_on_where_it_stopped(source: dict[str, Any]) -> None:
    declared = SOURCE.validate_python(source)
    assert declared.goes_on
    assert declared.partition == "none"


def test_the_page_shows_every_kind() -> None:
    assert {source["kind"] for source in shown()} == {"files", "sql", "rest", "stream", "python"}


COMMON = {"name": "x", "key": ["id"]}
API = {**COMMON, "kind": "rest", "url": "https://api.example.com/v1"}
DAYS = {"days": {"start": "a", "end": "b"}, "start": "2024-01-01"}
TOKEN = "eyJ.abc"
FILES = {**COMMON, "kind": "files"}
NATS = {"kind": "nats", "url": "nats://127.0.0.1:4222", "stream": "S"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (API | {"partition": "day", "start": "2024-01-01"}, "goes on where the run before it stopped"),
        (
            API | {"days": {"start": "a", "end": "b"}, "start": "2024-01-01", "partition": "none"},
            "so it has partitions",
        ),
        (API | DAYS | {"cursor": {"param": "p", "column": "c"}}, "by `days` or on from a `cursor`, not both"),
        (API | {"url": "https://api.example.com/v1?key=secret"}, "should match pattern"),
        (
            API | {"auth": {"kind": "bearer", "token_variable": "eyJ.abc"}},
            "must be the name of an environment variable",
        ),
        (API | {"url": "https://me:secret@api.example.com/v1"}, "should match pattern"),
        (API | {"auth": {"kind": "key", "key_variable": "K", "header": None}}, "carried by a `header` or a `param`"),
        (FILES | {"path": ["s3://b/a.csv", "/tmp/b.csv"], "new_files": True}, "mixes local and s3 paths"),
        (FILES | {"path": "/a.csv", "access": {"kind": "http"}, "new_files": True}, "`access` is of kind http"),
        (FILES | {"path": "s3://b/a", "access": {"kind": "s3", "key_variable": "K"}}, "both `key_variable` and"),
        (COMMON | {"kind": "stream", "broker": NATS | {"user_variable": "U"}}, "both `user_variable` and"),
        (COMMON | {"kind": "stream", "broker": NATS | {"url": "nats://me:secret@h"}}, "should match pattern"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        SOURCE.validate_python(given)
