"""How files on other machines are reached. What is secret stands in environment variables, never in defs.yaml."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlplatform.spec._base import Declared
from mlplatform.spec.by_kind import ByKind
from mlplatform.spec.variable import variable

__all__ = ["Access", "ObjectStore", "WebServer"]


class ObjectStore(Declared):
    """A bucket of Amazon S3, or of a server that speaks its protocol (MinIO, Ceph, Cloudflare R2)."""

    kind: Literal["s3"]
    """The path begins with `s3://`."""
    endpoint: Annotated[str, Field(pattern=r"^https?://[^/]+$")] | None = None
    """A server that is not Amazon's, such as `http://127.0.0.1:9000`; the bucket then stands in the path."""
    region: str = "us-east-1"
    """The bucket's region; most servers that are not Amazon's do not look at it."""
    key_variable: Annotated[str, AfterValidator(variable)] | None = None
    """The environment variable that holds the access key's id; left out, the bucket is read without a key."""
    secret_variable: Annotated[str, AfterValidator(variable)] | None = None
    """The one that holds its secret."""
    session_variable: Annotated[str, AfterValidator(variable)] | None = None
    """The one that holds the token of a temporary key."""

    @model_validator(mode="after")
    def _key_and_secret(self) -> "ObjectStore":
        if (self.key_variable is None) != (self.secret_variable is None):
            raise ValueError("a key has both `key_variable` and `secret_variable`; a public bucket has neither")
        return self


class WebServer(Declared):
    """A web server that wants to know who asks."""

    kind: Literal["http"]
    """The path begins with `http://` or `https://`."""
    token_variable: Annotated[str, AfterValidator(variable)] | None = None
    """The environment variable that holds a bearer token."""
    header_variables: dict[str, Annotated[str, AfterValidator(variable)]] = {}
    """Name of a header -> the environment variable that holds its value."""


Access = Annotated[ObjectStore | WebServer, Field(discriminator="kind"), ByKind()]
