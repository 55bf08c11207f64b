"""A file of a bucket or a web server becomes a declaration that reads the same rows; secrets stay in variables."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from mlplatform.ingest.open import open_table
from mlplatform.spec import load_declaration
from mlplatform_tests.processes import s3_server
from mlplatform_tests.scaffold.conftest import as_text, customers
from mlplatform_tests.web import Answer, Asked, Web, web_server

SECRET = "s3cr3t-of-mine"
New = Callable[..., Result]


def csv() -> bytes:
    return as_text(customers()).encode()


def parquet() -> bytes:
    header, *rows = customers()
    columns = {str(name): list(map(str, values)) for name, *values in zip(header, *rows, strict=True)}
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    return written.getvalue()


@pytest.fixture(scope="module")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as port:
        yield port


@pytest.fixture
def bucket(s3_port: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    endpoint = f"http://127.0.0.1:{s3_port}"
    for name, value in {
        "AWS_ENDPOINT_URL": f"{endpoint}/",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "reader",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }.items():
        monkeypatch.setenv(name, value)
    made = boto3.resource("s3", endpoint_url=endpoint, region_name="us-east-1").Bucket(
        f"b{abs(hash(request.node.name))}"
    )
    made.create()
    return made


@pytest.fixture
def web() -> Iterator[Web]:
    def answer(asked: Asked) -> Answer:
        if asked.headers.get("Authorization") != f"Bearer {SECRET}":
            return Answer(status=401)
        return Answer(csv()) if asked.path == "/exports/customers.csv" else Answer(status=404)

    with web_server(answer) as server:
        yield server


def read_back(project: Path) -> pa.Table:
    declared = load_declaration("shop", project / "use_cases")
    return open_table(declared.spec.sources[0], declared.folder).read_all()


def written(project: Path) -> str:
    return "".join(path.read_text() for path in (project / "use_cases").rglob("*") if path.is_file())


@pytest.mark.parametrize(("name", "content"), [("a.csv", csv()), ("a.parquet", parquet())], ids=["csv", "parquet"])
def test_an_object_of_a_bucket_is_looked_at_and_declared(
    bucket: Any, name: str, content: bytes, project: Path, new: New
) -> None:
    bucket.put_object(Key=f"exports/{name}", Body=content)
    result = new(f"s3://{bucket.name}/exports/{name}")
    assert result.exit_code == 0, result.output
    assert len(read_back(project)) == 300
    assert SECRET not in written(project) + result.output
    assert "AWS_SECRET_ACCESS_KEY" in written(project)


def test_a_file_of_a_web_server_is_read_with_the_token_of_the_use_case(
    web: Web, project: Path, new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    result = new(web.url("/exports/customers.csv"))
    assert result.exit_code == 0, result.output
    assert len(read_back(project)) == 300
    assert SECRET not in written(project) + result.output
    assert "SHOP_TOKEN" in written(project)


def test_what_is_refused_or_not_there_is_said_in_one_sentence(
    bucket: Any, web: Web, project: Path, new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_object(Key="a.csv", Body=csv() + "é".encode("latin-1"))
    cases = {
        web.url("/exports/customers.csv"): "is refused to this key",
        f"s3://{bucket.name}/no-such.csv": "is not there",
        f"s3://{bucket.name}/a.csv": "not UTF-8",
        f"s3://{bucket.name}/exports": "does not say what it is",
        "https://me:pass@127.0.0.1/a.csv": "holds a secret",
        "https://127.0.0.1/a.csv?X-Amz-Signature=abc": "holds a secret",
        "ftp://127.0.0.1/a.csv": "cannot be looked at",
    }
    for origin, said in cases.items():
        result = new(origin)
        assert (result.exit_code, said in result.output) == (1, True), result.output
        assert "pass@" not in result.output
        assert SECRET not in result.output
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "belong together" in new(f"s3://{bucket.name}/a.csv").output
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1")
    assert "must be http(s)://host" in new(f"s3://{bucket.name}/a.csv").output
    assert not (project / "use_cases").exists()
