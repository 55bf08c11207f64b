"""Files in object storage and on a web server, read from real servers on loopback."""

import gzip
import io
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlplatform.errors import SourceError
from mlplatform.home import Home
from mlplatform.ingest.files import FilesReader
from mlplatform.spec import FilesSource
from mlplatform_tests.feeding import Feeding
from mlplatform_tests.processes import free_port, s3_server
from mlplatform_tests.web import Answer, Asked, Web, web_server

SECRET = "s3cr3t-of-the-bucket"
HEADER = "reading_id,event_time,sensor,value\n"


def csv(*ids: int) -> bytes:
    return (HEADER + "".join(f"{i},2024-01-{1 + i % 28:02} 10:00:00,a,{i}.5\n" for i in ids)).encode()


def jsonl(*ids: int) -> bytes:
    rows = [{"reading_id": i, "event_time": f"2024-01-{1 + i % 28:02} 10:00:00", "value": i + 0.5} for i in ids]
    return "".join(json.dumps(row | {"sensor": {"hall": i}}) + "\n" for i, row in enumerate(rows)).encode()


def parquet(*ids: int) -> bytes:
    rows = {"reading_id": list(ids), "event_time": [f"2024-01-{1 + i % 28:02} 10:00:00" for i in ids]}
    written = io.BytesIO()
    pq.write_table(pa.table(rows | {"sensor": ["a"] * len(ids), "value": [i + 0.5 for i in ids]}), written)
    return written.getvalue()


@pytest.fixture(scope="session")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as port:
        yield port


@pytest.fixture
def bucket(s3_port: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    monkeypatch.setenv("SHOP_KEY", "reader")
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    s3 = boto3.resource(
        "s3",
        endpoint_url=f"http://127.0.0.1:{s3_port}",
        aws_access_key_id="owner",
        aws_secret_access_key="owner",
        region_name="us-east-1",
    )
    made = s3.Bucket(f"b{abs(hash(request.node.name))}")
    made.create()
    return made


def declared(bucket: Any, key: str, **fields: Any) -> dict[str, Any]:
    access = {"kind": "s3", "endpoint": bucket.meta.client.meta.endpoint_url}
    access |= {"key_variable": "SHOP_KEY", "secret_variable": "SHOP_SECRET"}
    return {"kind": "files", "path": f"s3://{bucket.name}/{key}", "access": access, **fields}


def reader(source: dict[str, Any]) -> FilesReader:
    return FilesReader(
        FilesSource.model_validate({"name": "readings", "key": ["reading_id"], "start": "2024-01-01", **source})
    )


def ids(table: pa.Table) -> list[int]:
    return [int(i) for i in table["reading_id"].to_pylist()]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", csv(1, 2, 3)),
        ("a.csv.gz", gzip.compress(csv(1, 2, 3))),
        ("a.jsonl", jsonl(1, 2, 3)),
        ("a.ndjson.gz", gzip.compress(jsonl(1, 2, 3))),
        ("a.parquet", parquet(1, 2, 3)),
    ],
    # By name alone: what gzip writes holds the time, and workers must agree on a test's name.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_glob_over_object_storage_is_read_by_days(bucket: Any, name: str, content: bytes) -> None:
    bucket.put_object(Key=f"daily/1-{name}", Body=content)
    more = {"csv": csv, "jsonl": jsonl, "ndjson": jsonl, "parquet": parquet}[name.split(".")[1]](4)
    bucket.put_object(Key=f"daily/2-{name}", Body=gzip.compress(more) if name.endswith(".gz") else more)
    source = reader(declared(bucket, f"daily/*-{name}"))
    assert source.available() == (date(2024, 1, 2), date(2024, 1, 6))
    assert ids(source.read(date(2024, 1, 3), date(2024, 1, 6))) == [2, 3, 4]
    assert source.fingerprint() == reader(declared(bucket, f"daily/*-{name}")).fingerprint()
    bucket.put_object(Key=f"daily/2-{name}", Body=content)
    assert source.fingerprint() != reader(declared(bucket, f"daily/*-{name}")).fingerprint()


def test_new_objects_are_read_once_and_a_changed_one_again(bucket: Any, tmp_path: Path, home: Home) -> None:
    bucket.put_object(Key="in/a.csv", Body=csv(1, 2))
    source = Feeding(tmp_path, declared(bucket, "in/*.csv", new_files=True))
    assert source.ingested()["rows_new_or_changed"] == 2
    bucket.put_object(Key="in/b.csv", Body=csv(3))
    assert source.ingested()["dagster/row_count"] == 3
    assert source.ingested()["rows_new_or_changed"] == 0
    bucket.put_object(Key="in/a.csv", Body=csv(1, 2).replace(b"1.5", b"9.5") + b"5,2024-01-09 00:00:00,a,0\n")
    assert source.ingested()["rows_new_or_changed"] == 2
    assert source.rows("reading_id, value") == [(1, 9.5), (2, 2.5), (3, 3.5), (5, 0.0)]


def test_a_broken_object_stops_the_run_and_what_is_mended_is_read(bucket: Any, tmp_path: Path, home: Home) -> None:
    bucket.put_object(Key="in/a.csv", Body=csv(1))
    source = Feeding(tmp_path, declared(bucket, "in/*.csv", new_files=True))
    source.ingested()
    before = source.cursor()
    bucket.put_object(Key="in/b.csv", Body=csv(2, 3)[:-9])
    assert "in/b.csv, line 3: the number of fields is not that of the header" in source.refused()
    assert (source.cursor(), source.ids()) == (before, [1])
    bucket.put_object(Key="in/b.csv", Body=csv(2, 3))
    source.ingested()
    assert source.ids() == [1, 2, 3]


@pytest.mark.slow
def test_a_run_that_is_killed_between_objects_is_resumed(bucket: Any, tmp_path: Path, home: Home) -> None:
    for number in range(30):
        bucket.put_object(Key=f"in/{number:02}.csv", Body=csv(2 * number, 2 * number + 1))
    source = Feeding(tmp_path, declared(bucket, "in/*.csv", new_files=True, files_per_commit=1))
    source.ingest_and_kill(lambda: source.cursor() is not None)
    stored = source.ids()
    assert 0 < len(stored) < 60
    assert len(json.loads(source.cursor() or "{}")) == len(stored) // 2
    source.ingested()
    assert source.ids() == list(range(60))


def test_days_are_read_again_by_the_run_s_first_and_last_day(bucket: Any, tmp_path: Path, home: Home) -> None:
    bucket.put_object(Key="in/a.csv", Body=csv(1, 2, 3))
    source = Feeding(tmp_path, declared(bucket, "in/*.csv", new_files=True))
    source.ingested()
    cursor = source.cursor()
    source.declaration  # noqa: B018 - writes the contract
    again = source.ingested(first_day="2024-01-03", last_day="2024-01-04")
    assert (again["days"], again["rows_new_or_changed"]) == ("2024-01-03..2024-01-04", 0)
    assert source.cursor() == cursor
    assert "needs `first_day`" in source.refused(last_day="2024-01-04")


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.csv.zst"])
def test_a_packed_object_that_was_cut_off_stops_the_run(bucket: Any, tmp_path: Path, home: Home, name: str) -> None:
    content = (csv if "csv" in name else jsonl)(*range(3000))
    whole = gzip.compress(content) if name.endswith("gz") else pa.compress(content, "zstd", asbytes=True)
    source = Feeding(tmp_path, declared(bucket, f"in/*-{name}", new_files=True))
    bucket.put_object(Key=f"in/1-{name}", Body=whole[:-8])
    assert f"in/1-{name} is not a whole" in source.refused()
    assert (source.cursor(), source.ids()) == (None, [])
    bucket.put_object(Key=f"in/1-{name}", Body=whole)
    source.ingested()
    assert source.ids() == list(range(3000))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_objects_are_read_under_whatever_key_they_have(bucket: Any, tmp_path: Path, home: Home, ending: str) -> None:
    packed = gzip.compress if ending else bytes
    odd = ["a[1]", "a1", "a?b", "a*b", "a b", "a+b", "a%20b", "a%2520b", "a#b", "a&b=c", "ä", "day=7/a", "z?.csv"]
    for number, name in enumerate(odd):
        bucket.put_object(Key=f"in/{name}.csv{ending}", Body=packed(csv(number)))
    source = Feeding(tmp_path, declared(bucket, "in/**", new_files=True))
    source.ingested()
    assert source.ids() == list(range(len(odd)))
    assert source.ingested()["rows_new_or_changed"] == 0
    bucket.put_object(Key=f"in/a?b.csv{ending}", Body=packed(csv(odd.index("a?b")).replace(b".5", b".75")))
    assert source.ingested()["rows_new_or_changed"] == 1


def test_a_question_mark_in_a_path_to_objects_is_told(bucket: Any) -> None:
    bucket.put_object(Key="in/ab.csv", Body=csv(1))
    assert "i?/*.csv stands for no other character in object storage. Write `*`" in told(declared(bucket, "i?/*.csv"))


def told(source: dict[str, Any]) -> str:
    with pytest.raises(SourceError) as caught:
        reader(source).available()
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("source `readings`")
    return str(caught.value)


def test_a_bucket_or_an_object_that_is_not_there_is_named(bucket: Any) -> None:
    assert "no file matches s3://" in told(declared(bucket, "nothing/*.csv"))
    assert "no-such.csv is not there. Correct `path`" in told(declared(bucket, "no-such.csv"))
    nowhere = declared(bucket, "x.csv") | {"path": "s3://no-such-bucket-at-all/x.csv"}
    assert "s3://no-such-bucket-at-all/x.csv is not there" in told(nowhere)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """A bucket whose server checks every signature, and the one key that may read it."""
    may_all = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    with s3_server(tmp_path / "s3.log", free_requests=3) as port:
        place = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"}
        users = boto3.client("iam", aws_access_key_id="root", aws_secret_access_key="root", **place)
        users.create_user(UserName="reader")
        users.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=json.dumps(may_all))
        key = users.create_access_key(UserName="reader")["AccessKey"]
        login = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        made = boto3.resource("s3", **login, **place).Bucket("guarded")
        made.create()
        yield made, {"SHOP_KEY": key["AccessKeyId"], "SHOP_SECRET": key["SecretAccessKey"]}


@pytest.mark.parametrize("wrong", ["SHOP_KEY", "SHOP_SECRET"])
def test_a_refused_key_of_a_bucket_is_named_and_its_cursor_stays(
    guarded: tuple[Any, dict[str, str]], tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    bucket, right = guarded
    for name, value in right.items():
        monkeypatch.setenv(name, value)
    bucket.put_object(Key="in/a.csv", Body=csv(1))
    source = Feeding(tmp_path, declared(bucket, "in/*.csv", new_files=True))
    source.ingested()
    cursor = source.cursor()
    bucket.put_object(Key="in/b.csv", Body=csv(2))
    with monkeypatch.context() as mistaken:
        mistaken.setenv(wrong, "AKIANOBODYATALL")
        message = source.refused()
    assert "is refused to this key, if any. Correct the variables that `access` names" in message
    assert right["SHOP_SECRET"] not in message
    assert (source.cursor(), source.ids()) == (cursor, [1])
    source.ingested()
    assert source.ids() == [1, 2]


def test_a_store_that_does_not_answer_is_named(bucket: Any) -> None:
    source = declared(bucket, "x.csv")
    source["access"]["endpoint"] = f"http://127.0.0.1:{free_port()}"
    assert "does not answer. Start the server, or correct the host" in told(source)


def test_a_variable_that_is_not_set_is_named(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_SECRET")
    assert "the environment variable SHOP_SECRET is not set" in told(declared(bucket, "x.csv"))


# --- a web server


@pytest.fixture
def web() -> Iterator[Web]:
    def answer(asked: Asked) -> Answer:
        if asked.headers.get("Authorization") != f"Bearer {SECRET}":
            return Answer(status=401)
        files = {"/a.csv": csv(1, 2, 3), "/b.jsonl.gz": gzip.compress(jsonl(4, 5), mtime=0), "/c.parquet": parquet(6)}
        return Answer(files[asked.path]) if asked.path in files else Answer(status=404)

    with web_server(answer) as server:
        yield server


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_TOKEN", SECRET)


def on(web: Web, *paths: str, **fields: Any) -> dict[str, Any]:
    access = {"kind": "http", "token_variable": "WEB_TOKEN"}
    return {"kind": "files", "path": [web.url(path) for path in paths], "access": access, **fields}


@pytest.mark.parametrize(("path", "expected"), [("/a.csv", [1, 2, 3]), ("/b.jsonl.gz", [4, 5]), ("/c.parquet", [6])])
def test_a_file_of_a_web_server_is_read_with_its_token(web: Web, path: str, expected: list[int]) -> None:
    source = reader(on(web, path))
    assert ids(source.read(date(2024, 1, 1), date(2024, 2, 1))) == expected
    assert source.fingerprint() == reader(on(web, path)).fingerprint()


def test_a_refused_token_a_missing_file_and_a_server_that_is_down_are_told_apart(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "/x.csv is not there" in told(on(web, "/x.csv"))
    monkeypatch.setenv("WEB_TOKEN", "old")
    assert "/a.csv is refused to this key, if any. Correct the variables that `access` names" in told(on(web, "/a.csv"))
    down = Web(free_port(), web.answer)
    assert "does not answer" in told(on(down, "/a.csv"))


def test_half_a_file_is_an_error_and_nothing_of_it_is_stored(web: Web, tmp_path: Path, home: Home) -> None:
    whole = csv(*range(2000))
    web.answer = lambda asked: Answer(whole, cut=20_000)
    source = Feeding(tmp_path, on(web, "/a.csv", new_files=True))
    assert "Nothing of this batch was loaded" in source.refused()
    assert (source.cursor(), source.ids()) == (None, [])
    web.answer = lambda asked: Answer(whole)
    source.ingested()
    assert source.ids() == list(range(2000))


@pytest.mark.parametrize("missing", [1, 8, 5000])
def test_a_packed_file_of_a_web_server_that_was_cut_off_stops_the_run(
    web: Web, tmp_path: Path, home: Home, missing: int
) -> None:
    whole = gzip.compress(csv(*range(3000)))
    source = Feeding(tmp_path, on(web, "/a.csv.gz", new_files=True))
    web.answer = lambda asked: Answer(whole[:-missing])
    assert "/a.csv.gz is not a whole gzip file" in source.refused()
    web.answer = lambda asked: Answer(whole, cut=len(whole) - missing)
    assert "broke off, or its server failed, in the middle" in source.refused()
    assert (source.cursor(), source.ids()) == (None, [])
    web.answer = lambda asked: Answer(whole)
    source.ingested()
    assert source.ids() == list(range(3000))


@pytest.mark.parametrize("tagged", [True, False], ids=["an ETag", "neither"])
def test_of_a_server_without_a_time_a_change_of_the_same_size_is_seen(
    web: Web, tmp_path: Path, home: Home, tagged: bool
) -> None:
    def serve(content: bytes) -> None:
        tag = {"ETag": f'"{hash(content)}"'} if tagged else {}
        web.answer = lambda asked: Answer(content, headers=tag)

    source = Feeding(tmp_path, on(web, "/a.csv", new_files=True))
    serve(csv(1, 2))
    source.ingested()
    web.asked.clear()
    assert source.ingested()["rows_new_or_changed"] == 0
    assert [asked.method for asked in web.asked].count("GET") == (0 if tagged else 1)
    serve(csv(1, 2).replace(b"1.5", b"9.5"))
    assert source.ingested()["rows_new_or_changed"] == 1
    assert source.rows("reading_id, value") == [(1, 9.5), (2, 2.5)]


def test_a_star_in_an_address_is_told(web: Web) -> None:
    assert "a web server cannot list its files. Name each of them in `path`" in told(on(web, "/*.csv"))


def test_json_lines_that_are_not_whole_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(1, 2)[:-7])
    with pytest.raises(SourceError, match=r"a\.jsonl, line 2: it is no JSON object\. The file was cut off"):
        reader({"kind": "files", "path": str(path)}).available()


def test_json_lines_keep_every_digit_and_what_is_nested_stays_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"reading_id": 12345678901234567890123, "event_time": "2024-01-02", "value": 0.30000000000000004}\n'
        '{"reading_id": 2, "event_time": "2024-01-02T00:00:00+00:00", "sensor": {"a": [1]}, "value": "x"}\n'
    )
    rows = reader({"kind": "files", "path": str(path)}).read(date(2024, 1, 1), date(2024, 2, 1)).to_pylist()
    assert rows[0]["reading_id"] == "12345678901234567890123"
    assert rows[0]["value"] == "0.30000000000000004"
    assert (rows[1]["sensor"], rows[1]["value"]) == ('{"a":[1]}', "x")
