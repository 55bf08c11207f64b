"""The packages a served bento needs, pinned to the versions of the environment that builds it."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["PACKAGES", "pinned_requirements"]

PACKAGES = (
    # Signatures of bundles, and tokens; loaded only where they are configured.
    "cryptography",
    "duckdb",
    "duckdb-extension-ducklake",
    "duckdb-extension-sqlite-scanner",
    "httpx",
    "lightgbm",
    "numpy",
    "onnxruntime",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-sdk",
    "orjson",
    "pandas",
    "prometheus-client",
    "pyarrow",
    "pydantic",
    "pyjwt",
    "scipy",
    "starlette",
)
"""What the code in a bento imports to serve, beside BentoML, which adds itself. No training library."""


def pinned_requirements() -> list[str]:
    """`name==version` of each package that is installed here; in a slim image that may be fewer."""
    return [f"{name}=={found}" for name in PACKAGES if (found := _installed(name))]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
